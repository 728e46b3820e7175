/* The options that take effect at run time; src/options.rs documents each of them. */
#ifndef ESL_OPTIONS_H
#define ESL_OPTIONS_H

/* The most sockets that an option set can ask for: descriptors of lwIP's own table. */
#define ESL_SOCKETS_MAX 253

extern unsigned int esl_opt_max_sockets;
extern unsigned int esl_opt_tcp_mss;
extern unsigned int esl_opt_tcp_wnd;
extern unsigned int esl_opt_tcp_snd_buf;
extern unsigned int esl_opt_wnd_scale; /* 0 or 1 */
extern unsigned int esl_opt_tcp_rcv_scale; /* 0 without scaling */
extern unsigned int esl_opt_tcp_maxrtx;
extern unsigned int esl_opt_tcp_synmaxrtx;
extern unsigned int esl_opt_tcp_msl;
extern unsigned int esl_opt_tcp_tmr_interval;
extern unsigned int esl_opt_tcp_rto_time;
extern unsigned int esl_opt_tcp_fin_wait_timeout;
extern unsigned int esl_opt_tcp_recvmbox;
extern unsigned int esl_opt_udp_recvmbox;
extern unsigned int esl_opt_tcp_acceptmbox;
extern unsigned int esl_opt_tcpip_recvmbox;

#endif
