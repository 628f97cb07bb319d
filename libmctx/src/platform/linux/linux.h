/* SPDX-License-Identifier: MIT */
/* What the files of the Linux backend share. */
#ifndef MCTX_LINUX_H
#define MCTX_LINUX_H

#include <stdint.h>

/* Newer than the headers that this may be compiled with. */
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62 /* Linux 5.1 */
#endif
#ifndef IP_MULTICAST_ALL
#define IP_MULTICAST_ALL 49 /* Linux 2.6.31 */
#endif
#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29 /* Linux 4.20 */
#endif

/* The device that a socket is bound to; 0 for none, and where the system cannot tell. */
uint32_t mctx__bound_device(int descriptor);

#endif
