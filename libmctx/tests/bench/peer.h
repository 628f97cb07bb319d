/* SPDX-License-Identifier: MIT */
/* The multicast libraries of the Rust registry, as the shared object of peer/ offers them; PEER is its path. */
#ifndef PEER_H
#define PEER_H

#include <stddef.h>
#include <stdint.h>

/* A sender to an IPv4 group on the loopback interface; NULL where there is no such library, or for another
 * group or interface. */
void *peer_open_sender(const char *group, uint16_t port, const char *interface);

/* Sends one datagram; 0, or 1. */
int peer_send(void *sender, const void *data, size_t length);

/* A receiver of an IPv4 group on the loopback interface; NULL after having said why not. */
void *peer_open_receiver(const char *group, uint16_t port);

/* Receives until there were so many or there is none; returns how many there were: one by one, or in batches.
 */
uint32_t peer_receive(void *receiver, uint32_t wanted);
uint32_t peer_receive_batch(void *receiver, uint32_t wanted);

#endif
