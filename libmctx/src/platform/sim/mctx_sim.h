/* SPDX-License-Identifier: MIT */
/*
 * libmctx-sim: libmctx on a network in memory, for tests alone. All of mctx.h works on it; these calls shape
 * the network, move its clock and schedule its faults. Not installed, no stable ABI.
 *
 * After mctx_sim_reset():
 *   1 lo    up, running, loopback, MTU 65536, 127.0.0.1/8, ::1/128
 *   2 eth0  up, running, multicast, broadcast, MTU 1500, 10.0.0.1/24, fd00::1/64, fe80::1/64
 *   3 eth1  up, running, multicast, broadcast, MTU 1500, 10.0.1.1/24, fd01::1/64, fe80::2/64
 * unnamed multicast of both families leaves through eth0, the clock is at 1 s, send buffers never fill, the
 * limits are those of mctx_sim_limit, no interface refuses to join, no faults are scheduled, nothing is on its
 * way and the wire is empty.
 *
 * Sending, binding and routing keep Linux's rules as far as they were measured: an IPv4 source that is no
 * longer local is `no_route`, an IPv6 one goes on unless it was named; an IPv4 sender without an interface
 * leaves through its source's; the IPv6 addresses of an interface that is down can't be bound. So do joining,
 * filtering and delivery, each where it is done (membership.c, deliver.c).
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
  MCTX_SIM_SEND = 9,  /* one call for one or for many messages (a message: a datagram, or a superpacket of
                         several); one for each where batch_send is absent */
  MCTX_SIM_WAIT = 10, /* for one or for many */
  MCTX_SIM_JOIN = 11, /* from any source or from one */
  MCTX_SIM_LEAVE = 12,
  MCTX_SIM_FILTER = 13,
  MCTX_SIM_RECEIVE = 14, /* of one message or of many */
  MCTX_SIM_POLLER = 15,  /* open and add */
  MCTX_SIM_WATCH = 16,   /* open */
  MCTX_SIM_HOLD = 17,    /* to an interface */
  MCTX_SIM_CALLS = 18
};

enum mctx_sim_fault_type {
  MCTX_SIM_FAIL = 1,      /* the call returns `value`, an mctx_status, and does nothing */
  MCTX_SIM_PARTIAL = 2,   /* a send or receive of many takes `value` messages and returns; at least 1 */
  MCTX_SIM_EARLIER = 3,   /* an earlier datagram's error, `value`, surfaces: the call returns it, once, takes
                             nothing, and the error queue has an entry */
  MCTX_SIM_DELIVERED = 4, /* the call returns `value`, but its first message reached the members of this host */
  MCTX_SIM_NEW_MTU = 5,   /* before a send, the MTU of the interface that it leaves through becomes `value` */
  MCTX_SIM_NEW_SEGMENTS = 6 /* before a send, MCTX_SIM_SEGMENTS becomes `value` */
};

/* Back to the state above, but for sockets, events, pollers, watches and blocks of memory that are held: they
 * stay. */
MCTX_API void mctx_sim_reset(void);

/* Schedules a fault for the nth call (1 is the next) of that sort from now on. Returns 0 if there is no room.
 */
MCTX_API int32_t mctx_sim_fault(uint32_t call, uint64_t nth, uint32_t type, int64_t value);
/* The same, of a send of many that takes `messages` of them first: if it has taken any, the call keeps a
 * failure to itself, as Linux does. Never met if there are not more. */
MCTX_API int32_t mctx_sim_fault_after(uint32_t call, uint64_t nth, uint32_t messages, uint32_t type,
                                      int64_t value);
MCTX_API void mctx_sim_clear_faults(void);
/* How many calls of that sort there were since the reset. */
MCTX_API uint64_t mctx_sim_calls(uint32_t call);

/* The virtual clock, in nanoseconds. Waiting moves it; nothing else does but mctx_sim_advance(). */
MCTX_API int64_t mctx_sim_now(void);
MCTX_API void mctx_sim_advance(int64_t duration_ns);

/* Interfaces, addresses and routes; each returns 0 if there is no room or no such thing. Removing an interface
 * removes its addresses, and nothing arrives by the memberships on it any more, even if its index is used
 * again; so with the IPv6 ones where the MTU sinks below 1280, and the IPv4 ones below 68. Setting one that is
 * there keeps them. Each is told to the watches. */
MCTX_API int32_t mctx_sim_interface_set(uint32_t index, const char *name, uint32_t flags, uint32_t mtu);
MCTX_API int32_t mctx_sim_interface_remove(uint32_t index);
MCTX_API int32_t mctx_sim_address_add(uint32_t index, const mctx_address *address);
MCTX_API int32_t mctx_sim_address_remove(uint32_t index, const mctx_address *address);
/* Where unnamed multicast of a family leaves; 0: nowhere. */
MCTX_API void mctx_sim_route_set(uint32_t family, uint32_t index);

/* Send buffers of sockets opened from now on: they hold `datagrams` (0: never fill), and one leaves each
 * `drain_ns` of virtual time (0: none ever leaves). A superpacket is taken whole as long as there is any room.
 */
MCTX_API void mctx_sim_buffer(uint32_t datagrams, int64_t drain_ns);
/* Whether a capability is there; all are after a reset. Absent ones are missed where they are used: families,
 * batch_send, error_queue, isolated_sender, bind_device (holding to an interface too), mark, send_buffer_force,
 * coalescing, group_binding, interface_changes, receive_buffer_force, segmentation, pacing. */
MCTX_API void mctx_sim_capability_set(uint32_t id, uint32_t state);
/* From now on, as in a child that was made without libc's fork(), whose memory does not show it otherwise. */
MCTX_API void mctx_sim_become_child(void);

/* Whether an interface's queue keeps to pacing rates, as `fq` does; none does after a reset. It is told, and
 * not simulated: datagrams leave at once. Returns 0 if there is no such interface. */
MCTX_API int32_t mctx_sim_pacing_set(uint32_t index, int32_t paces);

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
/* The FNV-1a hash of one's whole payload, 64 bits; 0 if it is not kept. */
MCTX_API uint64_t mctx_sim_wire_hash(uint64_t position);
MCTX_API void mctx_sim_wire_clear(void);
/* How many superpackets the network has cut since the reset; their datagrams are on the wire each by itself. */
MCTX_API uint64_t mctx_sim_superpackets(void);

/* A message that comes in from the network. */
typedef struct mctx_sim_arrival {
  mctx_address source;      /* with port */
  mctx_address destination; /* a group, a broadcast or a unicast address, with port */
  uint32_t interface_index;
  int32_t hop_limit;
  int32_t traffic_class;
  uint32_t segment_size; /* of several datagrams that come as one, to sockets that coalesce; 0: it is one */
  int64_t delay_ns;      /* of virtual time until it comes; 0: now */
  MCTX_SLOT const void *payload; /* NULL: bytes 0, 1, ... 255, 0, ... */
  MCTX_SLOT uint64_t length;     /* in bytes, at most 65536 */
} mctx_sim_arrival;

/* Lets it come in. Returns how many sockets it reached, full ones too; 0 with a delay; -1 for a bad one. What
 * sockets of this host send, with loopback, comes in by itself. */
MCTX_API int32_t mctx_sim_deliver(const mctx_sim_arrival *arrival);
/* How many messages wait in the queues of all open sockets. */
MCTX_API uint64_t mctx_sim_queued(void);

/* Limits of the host, with what they are after a reset. */
enum mctx_sim_limit {
  MCTX_SIM_MEMBERSHIPS4 = 0, /* IPv4 memberships of a socket: 20 */
  MCTX_SIM_SOURCES4 = 1,     /* sources of an IPv4 filter: 10 */
  MCTX_SIM_MEMBERSHIPS6 = 2, /* IPv6 memberships of a socket: 2340 */
  MCTX_SIM_SOURCES6 = 3,     /* sources of an IPv6 filter: 64 */
  MCTX_SIM_QUEUE = 4,       /* messages that wait at a socket: 1024; what comes beyond is dropped and counted */
  MCTX_SIM_DESCRIPTORS = 5, /* sockets, events, pollers and watches: 16384 */
  MCTX_SIM_SEGMENTS = 6, /* datagrams of a superpacket: 128; one of more is invalid_argument. With 1, each one
                            is unsupported, as without segmentation */
  MCTX_SIM_SEGMENT_SIZE = 7, /* bytes of each: 65535; one of larger ones is datagram_too_large, as one whose
                                datagrams do not fit the MTU */
  MCTX_SIM_LIMITS = 8
};
/* Returns 0 for an unknown one. */
MCTX_API int32_t mctx_sim_limit_set(uint32_t limit, uint64_t value);

/* From now on joins of a family on an interface fail with `status`; MCTX_OK: they are accepted again. Returns 0
 * if there is no such interface. An MTU below 1280 refuses IPv6 by itself, with MCTX_ERR_UNSUPPORTED, and one
 * below 68 IPv4, with MCTX_ERR_INTERFACE_NOT_FOUND. */
MCTX_API int32_t mctx_sim_refuse(uint32_t index, uint32_t family, mctx_status status);

/* A membership of a socket, as the system has it. */
typedef struct mctx_sim_membership {
  int64_t socket; /* the socket's native value */
  mctx_address group;
  uint32_t interface_index;
  uint32_t alive; /* 0: its interface went away */
  uint32_t mode;  /* mctx_filter_mode */
  uint32_t source_count;
  mctx_address sources[64]; /* the first of them, in order of coming */
} mctx_sim_membership;

/* How many memberships open sockets have, dead ones too. */
MCTX_API uint64_t mctx_sim_memberships(void);
/* Copies one, in no promised order; 0 if there are not so many. */
MCTX_API int32_t mctx_sim_membership_at(uint64_t position, mctx_sim_membership *membership);

/* All watches lose what they hold, as when the system tells more than it can keep: they know that something
 * changed, and not what. */
MCTX_API void mctx_sim_watch_overflow(void);

/* What is held now, to find leaks: with mctx_sim_memberships() all that the library may hold of the system. */
MCTX_API uint64_t mctx_sim_open_sockets(void);
MCTX_API uint64_t mctx_sim_open_events(void);
MCTX_API uint64_t mctx_sim_open_pollers(void);
MCTX_API uint64_t mctx_sim_open_watches(void);
MCTX_API uint64_t mctx_sim_live_blocks(void);
/* Errors that wait in the error queues of open sockets. */
MCTX_API uint64_t mctx_sim_pending_errors(void);
/* How often the library used a socket, event, poller or watch that was not open, or closed one that a poller
 * still had; never right, and kept over a reset. */
MCTX_API uint64_t mctx_sim_misuses(void);

/* Added to a family: a stream socket; a socket that shares its port. */
#define MCTX_SIM_STREAM 256u
#define MCTX_SIM_REUSE  512u
/* A socket of the simulated network, as a caller's own, to adopt: bound to `local` if that is not NULL and has
 * a family. `family` is 4, 6, or another number for a socket of another sort; it is blocking. 0 if it fails. */
MCTX_API int32_t mctx_sim_socket(uint32_t family, const mctx_address *local, mctx_os_handle *native);
MCTX_API void mctx_sim_socket_close(const mctx_os_handle *native);
/* What an adopted socket is set to, to see that a failed call changed nothing. */
MCTX_API int64_t mctx_sim_socket_hash(const mctx_os_handle *native);
/* The pacing rate that a socket is set to, in bytes a second; 0: none. */
MCTX_API int64_t mctx_sim_socket_pacing(const mctx_os_handle *native);
/* Joins a group with such a socket, from any source, as another program does; 0 if it fails. */
MCTX_API int32_t mctx_sim_socket_join(const mctx_os_handle *native, const mctx_address *group,
                                      uint32_t interface_index);
/* How many messages wait at a socket. */
MCTX_API uint64_t mctx_sim_socket_queued(const mctx_os_handle *native);
/* The mctx_ready bits that hold of a native handle: a socket's, or what mctx_pollable() gave. */
MCTX_API uint32_t mctx_sim_ready(const mctx_os_handle *native);

#ifdef __cplusplus
}
#endif

#endif
