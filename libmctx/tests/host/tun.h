/* SPDX-License-Identifier: MIT */
/* A point-to-point interface whose peer is the test. */
#ifndef MCTX_TESTS_TUN_H
#define MCTX_TESTS_TUN_H

#include "host/host.h"

/* Makes the interface, up; skips the test where the host has no tun. It ends when the descriptor is closed. */
int tun_open(const char *name);
/* One UDP datagram comes in there. */
void tun_inject(int tun, const mctx_address *source, const mctx_address *destination, const char *text);

#endif
