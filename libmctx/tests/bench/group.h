/* SPDX-License-Identifier: MIT */
/* Groups as the library and as the system write them. */
#ifndef GROUP_H
#define GROUP_H

#include <mctx.h>
#include <stdint.h>
#include <sys/socket.h>

/* The group so many behind the first. */
mctx_address group_at(const mctx_address *first, uint32_t position);

/* Its socket address; the length of it. */
socklen_t group_native(const mctx_address *group, uint16_t port, struct sockaddr_storage *native);

/* A socket that sends to groups through an interface; or -1. */
int group_sender(const mctx_address *group, const char *interface);

#endif
