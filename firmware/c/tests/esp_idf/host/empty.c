/* A library has to have something in it. */
typedef int espstress_empty;
