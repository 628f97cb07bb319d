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
#define MCTX__SIM_SLOTS      16384 /* sockets, and events as many */
#define MCTX__SIM_OPTIONS    (MCTX__NONBLOCKING + 1)

typedef struct mctx__sim_interface {
  uint32_t index;
  uint32_t flags;
  uint32_t mtu;
  char name[64];
} mctx__sim_interface;

typedef struct mctx__sim_address {
  uint32_t index; /* of its interface */
  mctx_address address;
} mctx__sim_address;

typedef struct mctx__sim_fault {
  uint64_t at; /* the call's number since the reset */
  uint32_t call;
  uint32_t type;
  int64_t value;
} mctx__sim_fault;

typedef struct mctx__sim_socket {
  uint32_t generation; /* 0: not open */
  uint32_t next_free;
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
  int64_t next_leave_ns; /* when the next of `buffered` leaves */
  mctx__drained errors;  /* what waits in the error queue */
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

/* ---- memory.c ---- */

/* Locked: mctx__allocate. */
void *mctx__sim_allocate(size_t size);

/* ---- network.c; all locked ---- */

const mctx__sim_interface *mctx__sim_interface_at(uint32_t index);
const mctx__sim_interface *mctx__sim_interface_named(const char *name);
/* The interface that has the address, or 0. */
uint32_t mctx__sim_address_owner(const mctx_address *address);
/* How a datagram leaves. `index` and `source` (family 0 or unspecified: none) restrict the choice. */
mctx__result mctx__sim_route(const mctx_address *destination, uint32_t index, const mctx_address *source,
                             mctx_address *chosen_source, uint32_t *chosen_index);
bool mctx__sim_capable(uint32_t id);
bool mctx__sim_is_unspecified(const mctx_address *address);
bool mctx__sim_is_multicast(const mctx_address *address);
/* Interface-local and link-local groups, and link-local addresses (RFC 4291). */
bool mctx__sim_is_scoped(const mctx_address *address);
void mctx__sim_network_reset(void);

/* ---- socket.c; all locked ---- */

/* NULL, and a misuse counted, if it is not open. */
mctx__sim_socket *mctx__sim_socket_find(mctx__socket socket);
/* Gives a port to a socket that has none. */
mctx__result mctx__sim_socket_autobind(mctx__sim_socket *socket);
/* How many more datagrams the send buffer takes now. */
uint32_t mctx__sim_socket_room(mctx__sim_socket *socket);
void mctx__sim_socket_fail_later(mctx__sim_socket *socket, mctx_status status);
void mctx__sim_sockets_reset(void);

/* ---- wire.c; all locked ---- */

/* The next place on the wire, taken. */
mctx_sim_datagram *mctx__sim_wire_next(void);
/* A datagram that the wire still keeps, or NULL. */
const mctx_sim_datagram *mctx__sim_wire_look(uint64_t position);
void mctx__sim_wire_reset(void);

#endif
