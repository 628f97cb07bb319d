/* SPDX-License-Identifier: MIT */
/* What the files of the Linux backend share. */
#ifndef MCTX_LINUX_H
#define MCTX_LINUX_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

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
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* Linux 4.18 */
#endif
#ifndef UDP_GRO
#define UDP_GRO 104 /* Linux 5.0 */
#endif
#ifndef SO_TIMESTAMPNS_NEW
#define SO_TIMESTAMPNS_NEW 64 /* Linux 5.1: 64 bits for the seconds everywhere */
#endif
#ifndef SO_TIMESTAMPNS_OLD
#define SO_TIMESTAMPNS_OLD 35 /* a long for the seconds */
#endif

/* The device that a socket is bound to; 0 for none, and where the system cannot tell. */
uint32_t mctx__bound_device(int descriptor);

#endif
