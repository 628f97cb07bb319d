/* SPDX-License-Identifier: MIT */
/*
 * libmctx-sim: libmctx on a network in memory, for tests alone. All of mctx.h works on it; these calls shape
 * the network, move its clock and schedule its faults. Not installed, no stable ABI.
 *
 * After mctx_sim_reset():
 *   1 lo    up, running, loopback, MTU 65536, 127.0.0.1/8, ::1/128
 *   2 eth0  up, running, multicast, broadcast, MTU 1500, 10.0.0.1/24, fd00::1/64, fe80::1/64
 *   3 eth1  up, running, multicast, broadcast, MTU 1500, 10.0.1.1/24, fd01::1/64, fe80::2/64
 * unnamed multicast of both families leaves through eth0, the clock is at 1 s, send buffers never fill, no
 * faults are scheduled and the wire is empty.
 *
 * Sending, binding and routing keep Linux's rules as far as they were measured: an IPv4 source that is no
 * longer local is `no_route`, an IPv6 one goes on; an IPv4 sender without an interface leaves through its
 * source's; the IPv6 addresses of an interface that is down can't be bound.
 */
#ifndef MCTX_SIM_H
#define MCTX_SIM_H

#include "mctx.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Calls of the platform contract that are counted and can fail. */
enum mctx_sim_call {
  MCTX_SIM_ALLOCATE = 0,
  MCTX_SIM_INTERFACES = 1,
  MCTX_SIM_ROUTE = 2,
  MCTX_SIM_EVENT_OPEN = 3,
  MCTX_SIM_SOCKET_OPEN = 4,
  MCTX_SIM_SOCKET_OPTION = 5, /* set, get, interface, bind to device */
  MCTX_SIM_BIND = 6,
  MCTX_SIM_CONNECT = 7,
  MCTX_SIM_LOCAL = 8,
  MCTX_SIM_SEND = 9, /* one call for one or for many datagrams; one for each where batch_send is absent */
  MCTX_SIM_WAIT = 10,
  MCTX_SIM_CALLS = 11
};

enum mctx_sim_fault_type {
  MCTX_SIM_FAIL = 1,     /* the call returns `value`, an mctx_status, and does nothing */
  MCTX_SIM_PARTIAL = 2,  /* a send of many takes `value` datagrams and returns; at least 1 */
  MCTX_SIM_EARLIER = 3,  /* an earlier datagram's error, `value`, surfaces: the call returns it, once, takes
                            nothing,  and the error queue has an entry */
  MCTX_SIM_DELIVERED = 4 /* the call returns `value`, but its first datagram reached the members of this host */
};

/* Back to the state above, but for sockets, events and blocks of memory that are held: they stay. */
MCTX_API void mctx_sim_reset(void);

/* Schedules a fault for the nth call (1 is the next) of that sort from now on. Returns 0 if there is no room.
 */
MCTX_API int32_t mctx_sim_fault(uint32_t call, uint64_t nth, uint32_t type, int64_t value);
MCTX_API void mctx_sim_clear_faults(void);
/* How many calls of that sort there were since the reset. */
MCTX_API uint64_t mctx_sim_calls(uint32_t call);

/* The virtual clock, in nanoseconds. Waiting moves it; nothing else does but mctx_sim_advance(). */
MCTX_API int64_t mctx_sim_now(void);
MCTX_API void mctx_sim_advance(int64_t duration_ns);

/* Interfaces, addresses and routes; each returns 0 if there is no room or no such thing. Removing an interface
 * removes its addresses. */
MCTX_API int32_t mctx_sim_interface_set(uint32_t index, const char *name, uint32_t flags, uint32_t mtu);
MCTX_API int32_t mctx_sim_interface_remove(uint32_t index);
MCTX_API int32_t mctx_sim_address_add(uint32_t index, const mctx_address *address);
MCTX_API int32_t mctx_sim_address_remove(uint32_t index, const mctx_address *address);
/* Where unnamed multicast of a family leaves; 0: nowhere. */
MCTX_API void mctx_sim_route_set(uint32_t family, uint32_t index);

/* Send buffers of sockets opened from now on: they hold `datagrams` (0: never fill), and one leaves each
 * `drain_ns` of virtual time (0: none ever leaves). */
MCTX_API void mctx_sim_buffer(uint32_t datagrams, int64_t drain_ns);
/* Whether a capability is there; all are after a reset. Absent ones are missed where they are used: families,
 * batch_send, error_queue, isolated_sender, bind_device, mark, send_buffer_force. */
MCTX_API void mctx_sim_capability_set(uint32_t id, uint32_t state);
/* From now on, as in a child that was made without libc's fork(), whose memory does not show it otherwise. */
MCTX_API void mctx_sim_become_child(void);

/* A datagram that the network took, in order. */
typedef struct mctx_sim_datagram {
  mctx_address source;      /* with port */
  mctx_address destination; /* with port and scope id */
  uint32_t interface_index;
  int32_t hop_limit;
  int32_t loopback;
  int32_t dscp;
  int64_t time_ns;
  uint64_t length;
  uint32_t local_only; /* 1: refused by the queue, but members of this host got it */
  uint32_t stored;     /* bytes kept of the payload: at most 64 */
  uint8_t payload[64];
} mctx_sim_datagram;

/* How many datagrams the wire holds: those since the last reset or mctx_sim_wire_clear(). The last 4096 are
 * kept. */
MCTX_API uint64_t mctx_sim_wire_count(void);
/* Copies one; 0 if it is not kept. */
MCTX_API int32_t mctx_sim_wire_at(uint64_t position, mctx_sim_datagram *datagram);
MCTX_API void mctx_sim_wire_clear(void);

/* What is held now: sockets, events and blocks of memory, to find leaks. */
MCTX_API uint64_t mctx_sim_open_sockets(void);
MCTX_API uint64_t mctx_sim_open_events(void);
MCTX_API uint64_t mctx_sim_live_blocks(void);
/* Errors that wait in the error queues of open sockets. */
MCTX_API uint64_t mctx_sim_pending_errors(void);
/* How often the library used a socket or event that was not open; never right, and kept over a reset. */
MCTX_API uint64_t mctx_sim_misuses(void);

/* Added to a family: a stream socket. */
#define MCTX_SIM_STREAM 256u
/* A socket of the simulated network, as a caller's own, to adopt: bound to `local` if that is not NULL and has
 * a family. `family` is 4, 6, or another number for a socket of another sort; it is blocking. 0 if it fails. */
MCTX_API int32_t mctx_sim_socket(uint32_t family, const mctx_address *local, mctx_os_handle *native);
MCTX_API void mctx_sim_socket_close(const mctx_os_handle *native);
/* What an adopted socket is set to, to see that a failed call changed nothing. */
MCTX_API int64_t mctx_sim_socket_hash(const mctx_os_handle *native);

#ifdef __cplusplus
}
#endif

#endif
