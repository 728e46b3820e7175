/* What a command costs: runs it on one processor and writes its processor time, peak memory and status.
 *
 *   measure FILE CPU COMMAND [ARGUMENT...]
 *
 * A program of its own because the kernel's figure of peak memory begins with that of the process which started the
 * command: this one is small. Writes one line of JSON to FILE; its own status is that of the command.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec / 1e6; }

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "measure FILE CPU COMMAND [ARGUMENT...]\n");
        return 2;
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)atoi(argv[2]), &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0) {
        perror("sched_setaffinity");
        return 3;
    }
    struct timespec began, over;
    clock_gettime(CLOCK_MONOTONIC, &began);
    pid_t child = fork();
    if (child < 0) {
        perror("fork");
        return 3;
    }
    if (child == 0) {
        execvp(argv[3], argv + 3);
        perror(argv[3]);
        _exit(127);
    }
    int status = 0;
    struct rusage used;
    if (wait4(child, &status, 0, &used) < 0) {
        perror("wait4");
        return 3;
    }
    clock_gettime(CLOCK_MONOTONIC, &over);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    FILE *file = fopen(argv[1], "w");
    if (!file) {
        perror(argv[1]);
        return 3;
    }
    fprintf(file, "{\"user_s\": %.6f, \"system_s\": %.6f, \"peak_kib\": %ld, \"wall_s\": %.6f, \"status\": %d}\n",
        seconds(used.ru_utime), seconds(used.ru_stime), used.ru_maxrss,
        (double)(over.tv_sec - began.tv_sec) + (double)(over.tv_nsec - began.tv_nsec) / 1e9, code);
    return fclose(file) == 0 ? code : 3;
}
