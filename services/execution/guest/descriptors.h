/* Up to where all descriptors are closed at once. */
#ifndef ZEROLOOP_DESCRIPTORS_H
#define ZEROLOOP_DESCRIPTORS_H

/* None is above it; of a range that ends higher, gVisor before 2023 closes none. */
enum { LAST_FD = 0x7FFFFFFF };

#endif
