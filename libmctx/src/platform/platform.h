/* SPDX-License-Identifier: MIT */
/*
 * The port contract: every service of an operating system that the core may use. A backend (posix + linux,
 * darwin, windows, sim) implements all of it; the core includes no header of a system.
 *
 * Rules for every function here
 * - It may be called from any thread. None keeps a pointer that it was given.
 * - The system's error is read once, at the call, and returned as a status with its os_code. The core never
 *   reads errno.
 * - No function but mctx__wait and mctx__sleep blocks. A call that a signal cut short returns
 *   MCTX_ERR_SIGNAL; the core decides whether to repeat it.
 * - Addresses are mctx_address: family 4 or 6, port in host order.
 * - Out-parameters are set on success only, unless said otherwise.
 */
#ifndef MCTX_PLATFORM_H
#define MCTX_PLATFORM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mctx.h"

/* Keeps what only a failure needs off the way of every datagram. */
#if defined(__GNUC__)
#define MCTX__COLD __attribute__((cold, noinline))
#else
#define MCTX__COLD
#endif

/* Keeps what is used, but not by every datagram, out of its way. */
#if defined(__GNUC__)
#define MCTX__APART __attribute__((noinline))
#else
#define MCTX__APART
#endif

/* Keeps the way of every datagram in one piece: behind a system call the processor has forgotten where to
 * return to, and each return costs as much as twenty instructions. */
#if defined(__GNUC__)
#define MCTX__IN_PLACE inline __attribute__((always_inline))
#else
#define MCTX__IN_PLACE inline
#endif

/* Says how a condition nearly always is: a jump that is not taken costs nothing, what is jumped over is not
 * fetched. */
#if defined(__GNUC__)
#define MCTX__MOSTLY(condition) __builtin_expect(!!(condition), 1)
#define MCTX__SELDOM(condition) __builtin_expect(!!(condition), 0)
#else
#define MCTX__MOSTLY(condition) (condition)
#define MCTX__SELDOM(condition) (condition)
#endif

/* What a system call came to. */
typedef struct mctx__result {
  mctx_status status;
  int32_t os_code;
} mctx__result;

#define MCTX__DONE      ((mctx__result){MCTX_OK, 0})
#define MCTX__NO_MEMORY ((mctx__result){MCTX_ERR_NO_MEMORY, 0}) /* without having asked the system */

/* ---- memory ---- */

/* Zeroed memory, aligned to 64 bytes; NULL when there is none. */
void *mctx__allocate(size_t size);
/* The same for what is written before it is read, such as the system's messages: nobody has to zero it. */
void *mctx__allocate_buffer(size_t size);
/* NULL does nothing. */
void mctx__release(void *memory);

/* ---- locks, threads, time ---- */

typedef struct mctx__mutex {
  _Alignas(16) unsigned char storage[64];
} mctx__mutex;

void mctx__mutex_init(mctx__mutex *mutex);
void mctx__mutex_lock(mctx__mutex *mutex);
void mctx__mutex_unlock(mctx__mutex *mutex);
/* The mutex is not locked. */
void mctx__mutex_destroy(mctx__mutex *mutex);

/* What tells threads apart that live at one time; never 0. */
uintptr_t mctx__thread_self(void);
/* Whether mctx__fence_threads() works here. The first call may take long. */
bool mctx__fence_prepare(void);
/* Every thread of the process passes a full fence between call and return: what one stored before that is seen
 * here afterwards, and what it loads later is what was stored here before. */
void mctx__fence_threads(void);
/* Gives the processor to another thread. */
void mctx__yield(void);
/* Sleeps about that long; may return early. */
void mctx__sleep(int64_t duration_ns);
/* Nanoseconds of a clock that never jumps. */
int64_t mctx__clock_monotonic(void);
/* The same clock, cheaper, and up to so much behind. */
#define MCTX__COARSE_NS INT64_C(20000000)
int64_t mctx__clock_coarse(void);
/* Nanoseconds since 1970, UTC. */
int64_t mctx__clock_utc(void);

/* ---- fork ---- */

/* Called once. `before` runs in the parent before a fork, `parent` and `child` after it, on each side. `child`
 * uses async-signal-safe services only: mctx__socket_abandon, mctx__event_abandon, atomics. */
typedef struct mctx__fork_hooks {
  void (*before)(void);
  void (*parent)(void);
  void (*child)(void);
} mctx__fork_hooks;
mctx__result mctx__fork_watch(const mctx__fork_hooks *hooks);

/* A word that holds 1, and 0 in a child made without libc's fork; NULL where the system has no such page. The
 * same word for the life of the process; the caller may set it to 1 again. */
_Atomic uint32_t *mctx__fork_page(void);

/* ---- events: what wakes a waiter ---- */

typedef struct mctx__event {
  int64_t value;
} mctx__event;

#define MCTX__NO_EVENT ((mctx__event){-1})

/* Not inherited by programs that this one starts. */
mctx__result mctx__event_open(mctx__event *event);
/* Sticky until cleared. Async-signal-safe; never fails. */
void mctx__event_signal(mctx__event event);
void mctx__event_clear(mctx__event event);
void mctx__event_close(mctx__event event);
/* In a forked child: closes this process's copy alone. Async-signal-safe. */
void mctx__event_abandon(mctx__event event);

/* ---- sockets ---- */

/* A POSIX descriptor or a Windows SOCKET. */
typedef struct mctx__socket {
  int64_t value;
} mctx__socket;

#define MCTX__NO_SOCKET ((mctx__socket){-1})

typedef enum mctx__option {
  MCTX__HOP_LIMIT,     /* of multicast datagrams, 0..255 */
  MCTX__LOOPBACK,      /* 0, 1 */
  MCTX__DSCP,          /* 0..63; the ECN bits stay as they are */
  MCTX__SEND_BUFFER,   /* set: bytes to ask for, above the system's maximum where rights allow; get: granted */
  MCTX__REUSE_PORT,    /* 0, 1: several multicast sockets may bind the port */
  MCTX__ERROR_QUEUE,   /* 0, 1: refusals of the device queue are errors of the send */
  MCTX__DONT_FRAGMENT, /* 0, 1, MCTX_AUTO for the system's default; get may tell others, which set takes back */
  MCTX__PRIORITY,      /* 0..6 */
  MCTX__MARK,          /* 0..2^32-1 */
  MCTX__ISOLATED,      /* 1: nothing arrives of groups that this socket did not join */
  MCTX__RECEIVE_BUFFER, /* as MCTX__SEND_BUFFER */
  MCTX__COALESCING, /* 0, 1: datagrams of one sender may arrive as one message; unsupported where they cannot */
  MCTX__SEGMENT_SIZE, /* bytes that all that is sent is cut into; 0: nothing is */
  MCTX__CORKED,       /* 1: what is sent is held back and becomes one datagram */
  MCTX__PACING_RATE,  /* bytes a second of this socket's packets, headers included; 0: as fast as may be */
  MCTX__METADATA,     /* mctx_metadata bits to collect from now on; what the system cannot tell is left out */
  MCTX__NONBLOCKING   /* 0, 1 */
} mctx__option;

/* Where to send: built once, used on every send. The backend's own bytes; length 0 stands for "connected". */
typedef struct mctx__endpoint {
  _Alignas(8) unsigned char bytes[48];
  uint32_t length;
} mctx__endpoint;

/* What there is to know of a caller's socket. */
typedef struct mctx__socket_facts {
  uint32_t family; /* 4, 6, or 0 for another */
  bool is_udp;
  bool is_connected;
  mctx_address local; /* port 0 if unbound */
  mctx_address peer;  /* family 0 if not connected */
} mctx__socket_facts;

/* What an error queue held. */
typedef struct mctx__drained {
  uint32_t local;   /* errors that this host made */
  uint32_t network; /* errors that came in by ICMP */
} mctx__drained;

/* A UDP socket, non-blocking, not inherited by programs that this one starts. IPv6 ones carry IPv6 alone. */
mctx__result mctx__socket_open(uint32_t family, mctx__socket *socket);
/* Leaves nothing registered with the system. */
void mctx__socket_close(mctx__socket socket);
/* In a forked child: closes this process's copy alone. Async-signal-safe. */
void mctx__socket_abandon(mctx__socket socket);
/* The caller's handle as a socket; checks its type only. */
mctx__result mctx__socket_adopt(const mctx_os_handle *native, mctx__socket *socket, mctx__socket_facts *facts);
mctx_os_handle mctx__socket_native(mctx__socket socket);

mctx__result mctx__socket_set(mctx__socket socket, uint32_t family, mctx__option option, int64_t value);
mctx__result mctx__socket_get(mctx__socket socket, uint32_t family, mctx__option option, int64_t *value);
/* The interface that multicast leaves through; index 0: the routing table chooses. */
mctx__result mctx__socket_set_interface(mctx__socket socket, uint32_t family, uint32_t index);
/* IPv4: 0 where the system cannot tell. */
mctx__result mctx__socket_get_interface(mctx__socket socket, uint32_t family, uint32_t *index);
/* NULL: to none any more. */
mctx__result mctx__socket_bind_device(mctx__socket socket, const char *name);
mctx__result mctx__socket_bind(mctx__socket socket, const mctx_address *local);
/* NULL dissolves the connection; a port that bind() gave remains, a chosen one mostly, and the binding to a
 * device may be gone. */
mctx__result mctx__socket_connect(mctx__socket socket, uint32_t family, const mctx_address *peer);
/* The socket's own address, port and scope id. */
mctx__result mctx__socket_local(mctx__socket socket, mctx_address *local);

/* NULL: to whom the socket is connected. */
void mctx__endpoint_set(mctx__endpoint *endpoint, const mctx_address *destination);
/* Lets datagrams go only as long as `source`, which the socket is bound to, is an address of this host:
 * no_route otherwise. Does nothing where the system sees to that itself. */
void mctx__endpoint_guard(mctx__endpoint *endpoint, const mctx_address *source);

/* Sends one datagram, without blocking. MCTX_OK: the system took it. The core tells apart: would_block (wait
 * for writability), queue_full (wait a while), signal (try again), datagram_too_large, firewall, and the kind
 * network, for which a backend may say no_route: the core finds out whether an interface or a source went away.
 */
mctx__result mctx__socket_send(mctx__socket socket, const mctx__endpoint *endpoint, const void *data,
                               size_t length);

#define MCTX__SEND_MANY_MAX   64  /* messages in one call */
#define MCTX__SEND_PIECES_MAX 512 /* pieces in one call, over all messages */
#define MCTX__SEGMENTS_MAX    128 /* datagrams in one superpacket */
/* Bytes of payload in one superpacket. With its headers, tags among them, it stays below 65,536: Linux cuts
 * larger ones itself, datagram by datagram, whatever the device can do. */
#define MCTX__SUPERPACKET_MAX 65408u

/* One thing to send: a datagram, or a superpacket that the system cuts into datagrams. */
typedef struct mctx__outgoing {
  const mctx_slice *pieces; /* its bytes, one piece behind the other, each of at most 65,535 bytes */
  uint32_t piece_count;     /* at least 1 */
  uint32_t segment_size;    /* of a superpacket: each datagram but the last has so many bytes, the last 1 to as
                               many; 0: one datagram */
  /* What follows is the core's, so that a message fits a cache line. */
  uint32_t datagrams; /* how many it is */
  uint32_t bytes;     /* of all pieces */
  mctx_slice whole;   /* where `pieces` may point */
} mctx__outgoing;

/* Sends up to MCTX__SEND_MANY_MAX messages in order, in as few system calls as the system allows. `taken` is
 * set always, and exact: the system took that many messages whole, from the first on. Status MCTX_OK with
 * 0 < taken < count: the reason is not known, the next call will tell. A failure is the next message's: taken <
 * count. The core believes of a superpacket's refusal, once its first datagram has gone alone:
 * datagram_too_large: no superpacket of such segments; invalid_argument: not of so many, or not of such;
 * unsupported: none at all. */
mctx__result mctx__socket_send_many(mctx__socket socket, const mctx__endpoint *endpoint,
                                    const mctx__outgoing *messages, uint32_t count, uint32_t *taken);

/* Empties the error queue and the pending error of a socket; bounded. `drained` is set always. */
void mctx__socket_drain_errors(mctx__socket socket, uint32_t family, mctx__drained *drained);

/* ---- receiving ----
 *
 * A membership is one group on one interface of one socket. A socket that is bound to a group gets nothing that
 * was sent elsewhere. Link-local IPv6 groups are bound with a scope id. */

/* Whether a socket can be bound to a group's address. */
bool mctx__binds_groups(void);
/* Which clock tells the times of receipt: mctx_clock. */
uint32_t mctx__receive_clock(void);
/* How many descriptors this process may have open. */
uint64_t mctx__descriptor_limit(void);

/* Joins from any source. too_many_memberships: this socket takes no more, another may; no_memory; other
 * statuses: the interface refuses. */
mctx__result mctx__socket_join(mctx__socket socket, const mctx_address *group, uint32_t interface_index);
/* Joins from one source. */
mctx__result mctx__socket_join_source(mctx__socket socket, const mctx_address *group, uint32_t interface_index,
                                      const mctx_address *source);
/* Leaves; also what was joined on an interface that is gone. */
mctx__result mctx__socket_leave(mctx__socket socket, const mctx_address *group, uint32_t interface_index);
/* Replaces the filter of a membership, mode and list, at once. too_many_sources: it is as it was. An include
 * list has at least one source. */
mctx__result mctx__socket_filter(mctx__socket socket, const mctx_address *group, uint32_t interface_index,
                                 uint32_t mode, const mctx_address *sources, uint32_t count);
/* Holds a socket that is not bound yet to an interface: it gets what arrives there and nothing else.
 * unsupported, permission: it cannot be, and is as it was. */
mctx__result mctx__socket_hold_to(mctx__socket socket, uint32_t interface_index);

/* The largest message: a superpacket, or a datagram; and how many datagrams it can hold. */
#define MCTX__MESSAGE_MAX      65536u
#define MCTX__MESSAGE_SEGMENTS 128u

/* Memory to receive into. */
typedef struct mctx__span {
  void *data;
  size_t length;
} mctx__span;

/* What was received. Fields whose bit is not in `present` are not set. What is told of a message stands where
 * it does in mctx_message. */
typedef struct mctx__arrival {
  uint32_t present;      /* mctx_metadata bits */
  uint32_t segment_size; /* of a coalesced message; 0: it is one datagram */
  mctx_address source;   /* with port, and scope id if it is link-local */
  mctx_address group; /* without port, with scope id where the scope wants one; may be no group but a unicast or
                         broadcast address */
  uint32_t interface_index; /* 0 of a datagram that came before MCTX__METADATA asked for MCTX_META_GROUP */
  int32_t hop_limit;
  int32_t traffic_class;
  uint32_t drops; /* messages that this socket has lost so far, modulo 2^32 */
  int64_t time_ns;
  uint64_t stored; /* bytes in the spans */
  uint64_t length; /* bytes of the message; more than `stored`: it was truncated and the system tells */
  bool truncated;
} mctx__arrival;

/* Takes one message off a socket, without blocking, into one or two spans (the second may be empty), filled in
 * order. `wanted`: the bits of METADATA that are of interest, of those that the socket collects
 * (MCTX_META_SOURCE needs no collecting); `coalescing`: whether the socket's option is on. would_block; signal;
 * others are the socket's own failures. */
mctx__result mctx__socket_receive(mctx__socket socket, uint32_t wanted, bool coalescing,
                                  const mctx__span spans[2], mctx__arrival *arrival);

/* The same where nothing but the payload is of interest, on a socket that coalesces nothing: by the cheapest
 * call that the system has. `length` is the message's: more than the span's if it was truncated. */
mctx__result mctx__socket_receive_bare(mctx__socket socket, mctx__span span, uint64_t *length);

#define MCTX__RECEIVE_MANY_MAX 32

/* Takes up to `count` (at most MCTX__RECEIVE_MANY_MAX) messages off a socket in as few system calls as the
 * system allows, each into its two spans. `received` is set always, and counts from the first on. MCTX_OK with
 * received > 0 (if that is less than `count`, the socket is empty, or the next call will tell why); else the
 * failure, with received 0. */
mctx__result mctx__socket_receive_many(mctx__socket socket, uint32_t wanted, bool coalescing,
                                       const mctx__span (*spans)[2], uint32_t count, mctx__arrival *arrivals,
                                       uint32_t *received);

/* ---- pollers: one handle to watch for many ----
 *
 * Level-triggered: readable as long as one of its members is. Thread-safe; a member may be removed while others
 * wait. */

typedef struct mctx__poller {
  int64_t value;
} mctx__poller;

#define MCTX__NO_POLLER ((mctx__poller){-1})

mctx__result mctx__poller_open(mctx__poller *poller);
void mctx__poller_close(mctx__poller poller);
/* In a forked child: closes this process's copy alone, and touches no registration. Async-signal-safe. */
void mctx__poller_abandon(mctx__poller poller);
mctx_os_handle mctx__poller_native(mctx__poller poller);
/* Adds a member: a socket, or what one of the calls below makes of an event, a watch or another poller. */
mctx__result mctx__poller_add(mctx__poller poller, mctx__socket member, uint64_t tag);
/* Before the member is closed. */
void mctx__poller_remove(mctx__poller poller, mctx__socket member);
/* The tags of members that are readable now, at most `capacity`; those that were told before come last. Never
 * blocks. `count` is set always. */
mctx__result mctx__poller_ready(mctx__poller poller, uint64_t *tags, uint32_t capacity, uint32_t *count);

/* ---- watches: changes of the interfaces and their addresses ---- */

typedef struct mctx__watch {
  int64_t value;
} mctx__watch;

#define MCTX__NO_WATCH ((mctx__watch){-1})

enum { MCTX__REMOVED_MAX = 64 };

/* Whether an interface of that MTU carries an IP version (RFC 791, RFC 8200). Where it stops to, the
 * memberships of that version end for good. */
static inline bool mctx__mtu_carries(uint32_t mtu, uint32_t family) {
  return mtu >= (family == 4 ? 68 : 1280);
}

/* What ended memberships, and may be there again. */
typedef struct mctx__removal {
  uint32_t index;  /* of an interface */
  uint32_t family; /* 4, 6: its MTU did not carry that IP version; 0: it went away */
} mctx__removal;

typedef struct mctx__changes {
  bool any;               /* something changed: a snapshot tells what */
  bool lost;              /* not all that passed was told, or kept: any membership may have ended */
  uint32_t removed_count; /* the first that fit, each once */
  mctx__removal removed[MCTX__REMOVED_MAX];
} mctx__changes;

static inline void mctx__removal_keep(mctx__changes *changes, mctx__removal removal) {
  for (uint32_t i = 0; i < changes->removed_count; i++)
    if (changes->removed[i].index == removal.index && changes->removed[i].family == removal.family) return;
  if (changes->removed_count == MCTX__REMOVED_MAX)
    changes->lost = true;
  else
    changes->removed[changes->removed_count++] = removal;
}

/* unsupported, permission: the system does not tell. */
mctx__result mctx__watch_open(mctx__watch *watch);
void mctx__watch_close(mctx__watch watch);
/* Async-signal-safe. */
void mctx__watch_abandon(mctx__watch watch);
/* Takes what has been told, without blocking; afterwards the watch is readable only for what comes later. If
 * the system told more than it could keep, `any` and `lost` are set. */
void mctx__watch_take(mctx__watch watch, mctx__changes *changes);

/* What a poller and mctx__wait take in a socket's place. */
mctx__socket mctx__event_member(mctx__event event);
mctx__socket mctx__poller_member(mctx__poller poller);
mctx__socket mctx__watch_member(mctx__watch watch);

/* ---- waiting ---- */

#define MCTX__WAIT_FAILED 0x40000000u /* the socket has an error to drain */
#define MCTX__WAIT_EVENT  0x80000000u /* the event is signalled */
#define MCTX__FOREVER     INT64_MAX

/* Waits until the socket (or MCTX__NO_SOCKET) is ready for one of `events` (mctx_ready bits), or the event (or
 * MCTX__NO_EVENT) is signalled, or the monotonic clock reaches the deadline; a deadline in the past asks
 * without blocking. `ready` is set always. MCTX_OK with bits; MCTX_ERR_TIMEOUT; MCTX_ERR_SIGNAL; io. */
mctx__result mctx__wait(mctx__socket socket, uint32_t events, mctx__event event, int64_t deadline_ns,
                        uint32_t *ready);

/* One of several to wait for: a socket (or member) with its bits, MCTX_READABLE of an event. */
typedef struct mctx__waited {
  mctx__socket socket; /* or MCTX__NO_SOCKET, which is never ready */
  uint32_t events;
  uint32_t ready; /* out: the bits that hold, MCTX__WAIT_FAILED among them */
} mctx__waited;

/* The same for many; allocates for the call. MCTX_OK when at least one has a bit set; too_many_descriptors:
 * more than the system waits for. */
mctx__result mctx__wait_many(mctx__waited *waited, uint32_t count, int64_t deadline_ns);

/* ---- interfaces and routes ---- */

typedef struct mctx__interface {
  mctx_interface_info info; /* size unset */
  uint32_t first_address;   /* in mctx__interfaces.addresses */
  char friendly[1024];
} mctx__interface;

typedef struct mctx__interfaces {
  mctx__interface *items; /* in order of index */
  uint32_t count;
  mctx_address *addresses;
  uint32_t address_count;
  uint32_t default_index[2]; /* IPv4, IPv6: where unnamed multicast leaves; 0 if nowhere */
} mctx__interfaces;

/* A snapshot; free it with mctx__interfaces_free. On failure nothing is held. */
mctx__result mctx__interfaces_load(mctx__interfaces *interfaces);
/* Zeroed ones do nothing. */
void mctx__interfaces_free(mctx__interfaces *interfaces);

/* How a datagram to `destination` would leave: the source address that the system would choose, and the
 * interface. `interface_index` and `source` (family 0: none) restrict the choice. no_route if there is no way.
 */
mctx__result mctx__route_lookup(const mctx_address *destination, uint32_t interface_index,
                                const mctx_address *source, mctx_address *chosen_source,
                                uint32_t *chosen_index);

/* Whether the interface's queue is known to hold each socket to its MCTX__PACING_RATE. */
bool mctx__interface_paces(uint32_t index);

/* ---- capabilities ---- */

/* Fills state, os_code and reason; `id` is known. */
void mctx__capability_probe(uint32_t id, mctx_capability_info *info);

#endif
