/* SPDX-License-Identifier: MIT */
/*
 * What the files of the simulation share. One lock guards all of it; "locked" functions are called with the
 * lock held. Nothing here is allocated but what the core asks for.
 */
#ifndef MCTX_SIM_INTERNAL_H
#define MCTX_SIM_INTERNAL_H

#include "../platform.h"
#include "mctx_sim.h"

#define MCTX__SIM_INTERFACES 64
#define MCTX__SIM_ADDRESSES  256
#define MCTX__SIM_FAULTS     256
#define MCTX__SIM_WIRE       4096
#define MCTX__SIM_SLOTS      16384 /* descriptors of each kind */
#define MCTX__SIM_OPTIONS    (MCTX__NONBLOCKING + 1)

#define MCTX__SIM_UTC_AHEAD_NS INT64_C(1700000000000000000) /* of the monotonic clock */

/* The kinds of descriptor. */
enum { MCTX__SIM_SOCKET, MCTX__SIM_EVENT, MCTX__SIM_POLLER, MCTX__SIM_WATCH, MCTX__SIM_KINDS };

typedef struct mctx__sim_interface {
  uint32_t index;
  uint32_t flags;
  uint32_t mtu;
  char name[64];
  uint64_t life[2];       /* IPv4, IPv6: another number when it is made anew; 0: none of that family */
  mctx_status refusal[2]; /* of joins; MCTX_OK: they are accepted */
  bool paces;
} mctx__sim_interface;

typedef struct mctx__sim_address {
  uint32_t index; /* of its interface */
  mctx_address address;
} mctx__sim_address;

typedef struct mctx__sim_fault {
  uint64_t at; /* the call's number since the reset */
  uint32_t call;
  uint32_t type;
  uint32_t messages; /* taken before it */
  int64_t value;
} mctx__sim_fault;

typedef struct mctx__sim_membership {
  struct mctx__sim_membership *next; /* one joined before */
  mctx_address group;
  uint32_t index;
  uint64_t life; /* of its interface when it was joined */
  uint32_t mode;
  uint32_t source_count;
  mctx_address *sources;
} mctx__sim_membership;

/* What comes in: a datagram, or several of one size. */
typedef struct mctx__sim_arrival {
  mctx_address source;
  mctx_address destination;
  uint32_t interface_index;
  int32_t hop_limit;
  int32_t traffic_class;
  uint32_t segment_size; /* 0: one datagram */
  int64_t time_ns;       /* UTC; of one that comes later: when, monotonic */
  uint64_t length;
  const unsigned char *payload;
} mctx__sim_arrival;

/* One that waits. */
typedef struct mctx__sim_message {
  struct mctx__sim_message *next;
  mctx__sim_arrival letter;
  uint32_t drops; /* of its socket, before it */
  unsigned char bytes[];
} mctx__sim_message;

typedef struct mctx__sim_socket {
  int64_t name;    /* its descriptor; 0: not open */
  uint32_t family; /* 4, 6; 0: some other sort of socket */
  bool stream;
  bool connected;
  bool address_bound; /* by bind(), so that dissolving a connection keeps it; so with the port */
  bool port_bound;
  mctx_address local;
  mctx_address peer;
  uint32_t interface_index; /* for multicast; 0: the routing table chooses */
  uint32_t device_index;    /* bound to it; 0: to none */
  uint32_t capacity;        /* of the send buffer in datagrams; 0: it never fills */
  uint32_t buffered;
  int64_t drain_ns;
  int64_t next_leave_ns;             /* when the next of `buffered` leaves */
  mctx__drained errors;              /* what waits in the error queue */
  uint64_t bound_as;                 /* the number of its binding */
  mctx__sim_membership *memberships; /* the one joined last first */
  mctx__sim_message *first;          /* of those that wait */
  mctx__sim_message *last;
  uint64_t queued;
  uint32_t drops; /* messages that found the queue full */
  int64_t options[MCTX__SIM_OPTIONS];
} mctx__sim_socket;

/* ---- clock.c: the lock, the virtual clock and what the core wants of threads ---- */

void mctx__sim_lock(void);
void mctx__sim_unlock(void);
/* Locked: gives the lock away until something may have changed. */
void mctx__sim_sleep_locked(void);
/* Locked: moves the clock and wakes whoever sleeps. */
void mctx__sim_clock_move(int64_t now_ns);
int64_t mctx__sim_clock(void);
/* Wakes whoever sleeps. Async-signal-safe. */
void mctx__sim_notify(void);
/* Locked: the same. */
void mctx__sim_changed(void);
void mctx__sim_clock_reset(void);

/* ---- fault.c ---- */

/* A failure as a system would report it. */
int32_t mctx__sim_os_code(mctx_status status);
static inline mctx__result mctx__sim_error(mctx_status status) {
  return (mctx__result){status, mctx__sim_os_code(status)};
}
/* Locked: counts a call; true and `fault`, if one is scheduled for it. */
bool mctx__sim_strikes(uint32_t call, mctx__sim_fault *fault);
/* Locked: counts a call that can only fail; MCTX__DONE or the failure. */
mctx__result mctx__sim_call(uint32_t call);
/* Counts a use of a socket, event or block that is not open. */
void mctx__sim_misused(void);
void mctx__sim_faults_reset(void);

/* ---- limit.c; locked ---- */

uint64_t mctx__sim_limit(uint32_t limit);
void mctx__sim_limit_change(uint32_t limit, uint64_t value);
void mctx__sim_limits_reset(void);

/* ---- memory.c ---- */

/* Locked: mctx__allocate. */
void *mctx__sim_allocate(size_t size);
/* Memory of the simulation itself: neither counted nor made to fail. NULL if there is none. */
void *mctx__sim_reserve(size_t size);
void mctx__sim_give_back(void *memory);

/* ---- descriptor.c; all locked but find, is_open and signal ---- */

static inline uint32_t mctx__sim_kind_of(int64_t value) {
  return (uint32_t)value >> 14 & 3;
}
static inline uint32_t mctx__sim_slot_of(int64_t value) {
  return (uint32_t)value & 0x3fff;
}
void mctx__sim_descriptors_reset(void);
mctx__result mctx__sim_descriptor_open(uint32_t kind, int64_t *value);
bool mctx__sim_descriptor_is_open(int64_t value);
/* Whether it is an open one of that kind; counts a misuse if not. */
bool mctx__sim_descriptor_find(uint32_t kind, int64_t value);
/* It is open; counts a misuse if a poller still has it. */
void mctx__sim_descriptor_close(int64_t value);
/* A poller more or less has it. */
void mctx__sim_descriptor_watched(int64_t value, int32_t change);
void mctx__sim_descriptor_forget_watchers(int64_t value);
/* Of events. */
void mctx__sim_descriptor_signal(int64_t value, bool signalled);
bool mctx__sim_descriptor_is_signalled(int64_t value);
/* Slots in use are below that. */
uint32_t mctx__sim_descriptors_used(uint32_t kind);

/* ---- network.c; all locked ---- */

const mctx__sim_interface *mctx__sim_interface_at(uint32_t index);
const mctx__sim_interface *mctx__sim_interface_named(const char *name);
/* The interface that has the address, or 0. */
uint32_t mctx__sim_address_owner(const mctx_address *address);
/* How a datagram leaves. `index` and `source` (family 0 or unspecified: none) restrict the choice. */
mctx__result mctx__sim_route(const mctx_address *destination, uint32_t index, const mctx_address *source,
                             mctx_address *chosen_source, uint32_t *chosen_index);
bool mctx__sim_capable(uint32_t id);
void mctx__sim_mtu_change(uint32_t index, uint32_t mtu);
bool mctx__sim_is_unspecified(const mctx_address *address);
bool mctx__sim_is_multicast(const mctx_address *address);
/* Of the network on an interface, or of all. */
bool mctx__sim_is_broadcast(const mctx_address *address, uint32_t index);
/* Interface-local and link-local groups, and link-local addresses (RFC 4291). */
bool mctx__sim_is_scoped(const mctx_address *address);
/* The life of an interface for a family; 0: there is none. */
uint64_t mctx__sim_interface_life(uint32_t index, uint32_t family);
/* Why it takes no memberships, or MCTX_OK. */
mctx_status mctx__sim_interface_refusal(uint32_t index, uint32_t family);
void mctx__sim_network_reset(void);

/* ---- socket.c; all locked ---- */

/* NULL, and a misuse counted, if it is not open. */
mctx__sim_socket *mctx__sim_socket_find(mctx__socket socket);
/* Those that are open, one after the other; NULL begins, and ends. */
mctx__sim_socket *mctx__sim_socket_next(const mctx__sim_socket *after);
bool mctx__sim_port_is_used(const mctx_address *address);
/* Gives a port to a socket that has none. */
mctx__result mctx__sim_socket_autobind(mctx__sim_socket *socket);
/* How many more datagrams the send buffer takes now. */
uint32_t mctx__sim_socket_room(mctx__sim_socket *socket);
void mctx__sim_socket_fail_later(mctx__sim_socket *socket, mctx_status status);
void mctx__sim_sockets_reset(void);

/* ---- membership.c; all locked ---- */

/* Family and bytes. */
bool mctx__sim_same_address(const mctx_address *one, const mctx_address *other);
bool mctx__sim_membership_is_alive(const mctx__sim_membership *membership);
bool mctx__sim_membership_allows(const mctx__sim_membership *membership, const mctx_address *source);
void mctx__sim_memberships_drop(mctx__sim_socket *socket);

/* ---- receive.c; all locked ---- */

void mctx__sim_queue_put(mctx__sim_socket *socket, const mctx__sim_arrival *arrival);
void mctx__sim_queue_drop(mctx__sim_socket *socket);

/* ---- deliver.c; all locked ---- */

/* How many sockets it reached. */
int32_t mctx__sim_deliver(const mctx__sim_arrival *arrival);
/* When something comes in; MCTX__FOREVER: never. */
int64_t mctx__sim_next_arrival(void);
void mctx__sim_deliver_next(void);
void mctx__sim_deliver_reset(void);

/* ---- wait.c, poller.c, watch.c; all locked ---- */

/* The bits that hold of an open descriptor. */
uint32_t mctx__sim_readiness(mctx__socket member, uint32_t events);
bool mctx__sim_poller_is_readable(int64_t value);
bool mctx__sim_watch_is_readable(int64_t value);
/* Something changed; `removed`: an interface that went away (family 0) or does not carry the family, or 0. */
void mctx__sim_watch_tell(uint32_t removed, uint32_t family);

/* ---- wire.c; all locked ---- */

/* One more datagram: `letter` has all but length and payload. */
void mctx__sim_wire_put(const mctx_sim_datagram *letter, const unsigned char *payload, uint64_t length);
/* One more superpacket was cut. */
void mctx__sim_wire_cut(void);
/* A datagram that the wire still keeps, or NULL. */
const mctx_sim_datagram *mctx__sim_wire_look(uint64_t position);
void mctx__sim_wire_reset(void);
#define MCTX__SIM_HASH_START UINT64_C(14695981039346656037)
/* Goes on with a hash: FNV-1a. */
uint64_t mctx__sim_hash(uint64_t hash, const void *data, uint64_t length);

#endif
