/* For the no-std build on a host alone: its core library is made for unwinding, which names this. A board's is not. */
#include <stdlib.h>

void rust_eh_personality(void);

void rust_eh_personality(void)
{
    abort();
}
