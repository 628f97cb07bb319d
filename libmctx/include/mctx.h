/* SPDX-License-Identifier: MIT */
/**
 * @file mctx.h
 * @brief libmctx: UDP multicast behind a stable C ABI.
 *
 * **Threads.** Every function may be called from any thread at any time, on any handle, while other threads
 * use or close it. Only mctx_wake() may be called from a signal handler. A thread must not be cancelled
 * (pthread_cancel) inside a call.
 *
 * **Statuses.** Every function that can fail returns ::mctx_status: 0, or a negative code from
 * ::MCTX_STATUS_MAP. Positive values are reserved. A client must accept codes and kinds that it does not know.
 * All arguments are checked before anything happens. On failure out-parameters are zero (of an array, its
 * count), except *progress counters* (named so where they stand), which are exact on every return.
 *
 * **Error records.** The last parameter of a fallible function, ::mctx_error, may be NULL. Success leaves it
 * untouched. A record without a valid `size` is never written: the call does nothing and returns
 * `struct_size`.
 *
 * **Handles** are numbers. Stale, forged, closed or foreign ones are errors, never undefined behaviour. After
 * fork() the child's inherited handles are closed; the parent's are unaffected. Where a function lists *a
 * handle's errors*, they are: `closed`, also for one that another thread closes meanwhile; `forked`, in a
 * child, for its parent's; `wrong_handle` for one of another kind; `invalid_handle` for what never was one.
 *
 * **Structs** that start with `size` are versioned by it: set it (or call the initialiser) before the call. An
 * older, shorter struct is accepted; a newer, longer one only if the part that this library does not know is
 * zero. Elements of an array that a call takes with a `stride` grow likewise. All other structs are frozen.
 * Pointers stand in 8-byte slots, so that layouts are the same on 32-bit and 64-bit systems.
 *
 * **Buffers for results** take min(capacity, available) elements; unless said otherwise the count parameter
 * receives how many there are, so a first call may pass NULL and 0. With capacity 0 the pointer is not looked
 * at. Text is UTF-8, is always terminated when capacity > 0, and its length parameter does not count the
 * terminator.
 *
 * **Time** is in nanoseconds. A timeout of 0 never blocks, a positive one ends in `timeout`, a negative one
 * waits for ever.
 */
#ifndef MCTX_H
#define MCTX_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#if defined(MCTX_BUILD)
#define MCTX_API __declspec(dllexport)
#elif defined(MCTX_STATIC)
#define MCTX_API
#else
#define MCTX_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
/** Marks what the library exports. */
#define MCTX_API __attribute__((visibility("default")))
#else
#define MCTX_API
#endif

#if defined(__GNUC__)
/** A result that must not be ignored. */
#define MCTX_CHECK __attribute__((warn_unused_result))
#else
#define MCTX_CHECK
#endif

/** Starts a pointer, and what follows one, at a multiple of eight bytes on every system. */
#if UINTPTR_MAX > 0xffffffffu
#define MCTX_SLOT /* they stand there by themselves */
#elif defined(__cplusplus)
#define MCTX_SLOT alignas(8)
#else
#define MCTX_SLOT _Alignas(8)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------------------
 * Statuses
 * --------------------------------------------------------------------------------------------------------- */

/** 0 (::MCTX_OK) or a negative code: -(kind * 1000 + n). Positive values are reserved. */
typedef int32_t mctx_status;

/**
 * The kinds of failure: X(NAME, number, name, text). That `kind == -code / 1000` is a promise; numbers are
 * never reused, and a client treats an unknown kind as a failure of no special sort.
 */
#define MCTX_KIND_MAP(X)                                                              \
  X(INTERNAL, 1, "internal", "a defect of the library")                               \
  X(USAGE, 2, "usage", "the call itself is wrong")                                    \
  X(NOT_FOUND, 3, "not_found", "what the call names is not there")                    \
  X(ALREADY_EXISTS, 4, "already_exists", "what the call would make is there already") \
  X(WOULD_BLOCK, 5, "would_block", "nothing can be done now without waiting")         \
  X(TIMEOUT, 6, "timeout", "the time allowed has passed")                             \
  X(CLOSED, 7, "closed", "the handle is closed")                                      \
  X(PERMISSION, 8, "permission", "the system does not permit it")                     \
  X(UNSUPPORTED, 9, "unsupported", "this system or this object cannot do it")         \
  X(LIMIT, 10, "limit", "a limit of the system or of the library is reached")         \
  X(NETWORK, 11, "network", "the network or an interface is not in the state for it") \
  X(TOO_LARGE, 12, "too_large", "a datagram is larger than what can be sent")         \
  X(IO, 13, "io", "the system failed in a way that has no kind of its own")           \
  X(INTERRUPTED, 14, "interrupted", "the wait was ended by mctx_wake() or by a signal")

/**
 * The one table of statuses: X(NAME, KIND, n, name, text). The enumerators ::MCTX_OK and MCTX_ERR_<NAME>, the
 * names, the texts and the documentation's table all come from it. Codes are never reused.
 */
#define MCTX_STATUS_MAP(X)                                                                                    \
  X(INTERNAL, INTERNAL, 1, "internal", "the library met a state that should be impossible")                   \
  X(INVALID_ARGUMENT, USAGE, 1, "invalid_argument", "an argument has a value outside its range")              \
  X(NULL_ARGUMENT, USAGE, 2, "null_argument", "a required pointer is NULL")                                   \
  X(INVALID_HANDLE, USAGE, 3, "invalid_handle", "the value was never a handle of this library")               \
  X(WRONG_HANDLE, USAGE, 4, "wrong_handle", "the handle is of another kind than this call takes")             \
  X(STRUCT_SIZE, USAGE, 5, "struct_size", "the size of a struct is not set, or not one this library knows")   \
  X(STRUCT_TAIL, USAGE, 6, "struct_tail", "a newer struct asks for something this library does not know")     \
  X(RESERVED, USAGE, 7, "reserved", "a reserved field or flag is not zero")                                   \
  X(ADDRESS_SYNTAX, USAGE, 8, "address_syntax", "the text is not an IP address")                              \
  X(GROUP_NOT_MULTICAST, USAGE, 9, "group_not_multicast", "the group is not a multicast address")             \
  X(PORT_ZERO, USAGE, 10, "port_zero", "the destination port is 0")                                           \
  X(PORT_RANGE, USAGE, 11, "port_range", "a port is not between 1 and 65535")                                 \
  X(SOURCE_PORT_ZERO, USAGE, 12, "source_port_zero", "the source port is 0")                                  \
  X(SOURCE_UNSPECIFIED, USAGE, 13, "source_unspecified", "the source is the unspecified address")             \
  X(SOURCE_MULTICAST, USAGE, 14, "source_multicast", "the source is a multicast address")                     \
  X(SOURCE_FAMILY, USAGE, 15, "source_family", "the source is of the other family than the group")            \
  X(INTERFACE_UNSPECIFIED, USAGE, 16, "interface_unspecified", "the interface is the unspecified address")    \
  X(INTERFACE_MULTICAST, USAGE, 17, "interface_multicast", "the interface is a multicast address")            \
  X(INTERFACE_FAMILY, USAGE, 18, "interface_family", "the interface is of the other family than the group")   \
  X(INTERFACE_INDEX_ZERO, USAGE, 19, "interface_index_zero", "the interface index is 0")                      \
  X(INTERFACE_REQUIRED, USAGE, 20, "interface_required", "a group of this scope needs an interface")          \
  X(SOURCE_ON_OTHER_INTERFACE, USAGE, 21, "source_on_other_interface",                                        \
    "the source is an address of another interface than the one asked for")                                   \
  X(OPTION_CONFLICT, USAGE, 22, "option_conflict", "two options exclude each other")                          \
  X(HOP_LIMIT_RANGE, USAGE, 23, "hop_limit_range", "the hop limit (TTL) is not between 0 and 255")            \
  X(DSCP_RANGE, USAGE, 24, "dscp_range", "the DSCP is not between 0 and 63")                                  \
  X(NOT_A_SOCKET, USAGE, 25, "not_a_socket", "the existing socket is not a socket")                           \
  X(SOCKET_TYPE, USAGE, 26, "socket_type", "the existing socket is not a UDP socket")                         \
  X(SOCKET_FAMILY, USAGE, 27, "socket_family", "the existing socket is of the other family than the group")   \
  X(SOCKET_ADDRESS, USAGE, 28, "socket_address", "the existing socket is bound to another address")           \
  X(SOCKET_PORT, USAGE, 29, "socket_port", "the existing socket is bound to another port")                    \
  X(SEGMENT_SIZE, USAGE, 30, "segment_size", "the segment size is 0 or larger than a datagram")               \
  X(CAPACITY, USAGE, 31, "capacity", "the array is too small for all results")                                \
  X(FILTER_MODE, USAGE, 32, "filter_mode", "the filter's mode does not allow this change")                    \
  X(FILTER_DIFFERS, USAGE, 33, "filter_differs", "the group is joined there with another filter")             \
  X(SOURCE_REQUIRED, USAGE, 34, "source_required", "an include filter lists no source")                       \
  X(SOURCE_REPEATED, USAGE, 35, "source_repeated", "a source filter lists a source twice")                    \
  X(ARENA_TOO_SMALL, USAGE, 36, "arena_too_small", "the memory for a batch cannot hold a whole message")      \
  X(MISALIGNED, USAGE, 37, "misaligned", "memory for records does not start at a multiple of 8 bytes")        \
  X(NOTHING_JOINED, USAGE, 38, "nothing_joined", "no group is joined, and the wait has no end")               \
  X(NOT_FOUND, NOT_FOUND, 1, "not_found", "there is nothing of that name or number")                          \
  X(INTERFACE_NOT_FOUND, NOT_FOUND, 2, "interface_not_found", "there is no such interface")                   \
  X(SOURCE_NOT_LOCAL, NOT_FOUND, 3, "source_not_local", "the source is not an address of this host")          \
  X(NO_DEFAULT_INTERFACE, NOT_FOUND, 4, "no_default_interface", "no route leads to multicast groups")         \
  X(MEMBERSHIP_NOT_FOUND, NOT_FOUND, 5, "membership_not_found", "the group is not joined there")              \
  X(SOURCE_NOT_FOUND, NOT_FOUND, 6, "source_not_found", "the filter does not list the source")                \
  X(PUBLICATION_EXISTS, ALREADY_EXISTS, 1, "publication_exists",                                              \
    "the context has a publication of this configuration")                                                    \
  X(ADDRESS_IN_USE, ALREADY_EXISTS, 2, "address_in_use", "the port is in use")                                \
  X(MEMBERSHIP_EXISTS, ALREADY_EXISTS, 3, "membership_exists", "the group is joined there already")           \
  X(SOURCE_EXISTS, ALREADY_EXISTS, 4, "source_exists", "the filter lists the source already")                 \
  X(WOULD_BLOCK, WOULD_BLOCK, 1, "would_block", "it cannot be done now without waiting")                      \
  X(PACED, WOULD_BLOCK, 2, "paced", "the pacing rate lets no datagram go yet")                                \
  X(TIMEOUT, TIMEOUT, 1, "timeout", "the time allowed has passed")                                            \
  X(CLOSED, CLOSED, 1, "closed", "the handle is closed")                                                      \
  X(FORKED, CLOSED, 2, "forked", "the handle belongs to the process that this one was forked from")           \
  X(PERMISSION, PERMISSION, 1, "permission", "the system refuses it to this user")                            \
  X(FIREWALL, PERMISSION, 2, "firewall", "a firewall of this host refused the datagram")                      \
  X(UNSUPPORTED, UNSUPPORTED, 1, "unsupported", "this system cannot do it")                                   \
  X(FAMILY_UNSUPPORTED, UNSUPPORTED, 2, "family_unsupported", "this host has no support for that IP version") \
  X(QUEUE_FULL, LIMIT, 1, "queue_full", "the interface's queue is full; the datagram was not sent")           \
  X(NO_MEMORY, LIMIT, 2, "no_memory", "there is no memory for it")                                            \
  X(TOO_MANY_HANDLES, LIMIT, 3, "too_many_handles", "the library has no handle left")                         \
  X(TOO_MANY_DESCRIPTORS, LIMIT, 4, "too_many_descriptors", "the system has no descriptor left")              \
  X(TOO_MANY_MEMBERSHIPS, LIMIT, 5, "too_many_memberships", "the system lets no socket join more groups")     \
  X(TOO_MANY_SOURCES, LIMIT, 6, "too_many_sources", "the system lets no filter list more sources")            \
  X(NO_ROUTE, NETWORK, 1, "no_route", "no route leads to the group")                                          \
  X(INTERFACE_DOWN, NETWORK, 2, "interface_down", "the interface is down")                                    \
  X(INTERFACE_GONE, NETWORK, 3, "interface_gone", "the interface was removed")                                \
  X(SOURCE_GONE, NETWORK, 4, "source_gone", "the source is no longer an address of this host")                \
  X(UNREACHABLE, NETWORK, 5, "unreachable", "the network answered that the destination is unreachable")       \
  X(DATAGRAM_TOO_LARGE, TOO_LARGE, 1, "datagram_too_large", "the datagram is larger than can be sent")        \
  X(IO, IO, 1, "io", "the system reported an error that has no status of its own; see os_code")               \
  X(WOKEN, INTERRUPTED, 1, "woken", "mctx_wake() ended the wait")                                             \
  X(SIGNAL, INTERRUPTED, 2, "signal", "a signal ended the wait")

/** The kinds of failure, by number. */
enum mctx_kind {
  MCTX_KIND_NONE = 0, /**< no failure */
#define MCTX_KIND_ENUMERATOR(NAME, number, name, text) MCTX_KIND_##NAME = (number),
  MCTX_KIND_MAP(MCTX_KIND_ENUMERATOR)
#undef MCTX_KIND_ENUMERATOR
};

/** The statuses, by code. */
enum mctx_status_code {
  MCTX_OK = 0, /**< success */
#define MCTX_STATUS_ENUMERATOR(NAME, KIND, n, name, text) MCTX_ERR_##NAME = -(MCTX_KIND_##KIND * 1000 + (n)),
  MCTX_STATUS_MAP(MCTX_STATUS_ENUMERATOR)
#undef MCTX_STATUS_ENUMERATOR
};

/** When the same call may succeed. */
enum mctx_retry {
  MCTX_RETRY_NEVER = 0,       /**< not as it is: correct the call, or, after `queue_full`, do not resend */
  MCTX_RETRY_WHEN_READY = 1,  /**< once mctx_wait() or the pollable handle says so */
  MCTX_RETRY_AFTER_DELAY = 2, /**< after a while: of `paced`, `value` tells when, else nothing does */
  MCTX_RETRY_AFTER_CHANGE = 3 /**< once something on this host changed: a link, a route, a limit, a right */
};

/** Flags of an error record. */
enum mctx_error_flag {
  /** The datagram was not sent to the network, but members on this host may have received it. */
  MCTX_ERROR_DELIVERED_LOCALLY = 1
};

/** A handle: kind, generation and index in one number below 2^53. 0 is never valid. */
typedef uint64_t mctx_handle;
/** A handle of a context. */
typedef mctx_handle mctx_context;
/** A handle of a publication. */
typedef mctx_handle mctx_publication;
/** A handle of a subscription. */
typedef mctx_handle mctx_subscription;
/** A handle of a snapshot of the interfaces. */
typedef mctx_handle mctx_interface_list;

/** The kinds of handle. */
enum mctx_handle_kind {
  MCTX_HANDLE_NONE = 0,          /**< not a handle */
  MCTX_HANDLE_CONTEXT = 1,       /**< ::mctx_context */
  MCTX_HANDLE_PUBLICATION = 2,   /**< ::mctx_publication */
  MCTX_HANDLE_SUBSCRIPTION = 3,  /**< ::mctx_subscription */
  MCTX_HANDLE_INTERFACE_LIST = 4 /**< ::mctx_interface_list */
};

/**
 * What went wrong. The caller owns it and sets `size`; a failing call fills it, a successful one leaves it
 * alone. `would_block`, `paced`, `timeout` and `queue_full` leave message and hint empty: they happen on hot
 * paths.
 */
typedef struct mctx_error {
  uint32_t size;      /**< sizeof(mctx_error), set by the caller */
  mctx_status status; /**< the status returned */
  uint32_t kind;      /**< ::mctx_kind of the status */
  int32_t os_code;    /**< errno or WSAGetLastError() where the system failed, else 0 */
  mctx_handle handle; /**< the object concerned, or 0 */
  int64_t item;       /**< which element of an array argument, or -1 */
  uint64_t value;     /**< the offending number, where there is one; of `paced`: nanoseconds until the next
                         datagram may go */
  uint64_t limit;     /**< the limit that it met, where there is one */
  uint32_t retry;     /**< ::mctx_retry */
  uint32_t flags;     /**< ::mctx_error_flag */
  char operation[48]; /**< the function, "mctx_send" */
  char field[48];    /**< the argument or option at fault ("port", "interface.index"), "handle" for a handle, or
                        empty */
  char message[256]; /**< one sentence: what happened */
  char hint[512];    /**< the likely cause and what would be right, or empty */
} mctx_error;

/** An error record ready for use: `mctx_error error = MCTX_ERROR_INIT;` */
/* clang-format off */
#define MCTX_ERROR_INIT {sizeof(mctx_error), 0, 0, 0, 0, 0, 0, 0, 0, 0, {0}, {0}, {0}, {0}}
/* clang-format on */

/**
 * Clears an error record and sets its size.
 * @param error the record; NULL does nothing
 * @param size sizeof(mctx_error) as the caller knows it, in bytes
 * @note Never fails, never blocks. Since 0.1.
 */
MCTX_API void mctx_error_init(mctx_error *error, uint32_t size);

/**
 * The name of a status.
 * @param status any value
 * @return "ok", "port_zero", ..., or "unknown" for a code of another version; static, never NULL
 * @note Never blocks. Since 0.1.
 */
MCTX_API const char *mctx_status_name(mctx_status status);

/**
 * The text of a status: one clause in English, lower case, without a full stop.
 * @param status any value
 * @return static text, never NULL
 * @note Never blocks. Since 0.1.
 */
MCTX_API const char *mctx_status_text(mctx_status status);

/**
 * The kind of a status: -status / 1000, also for codes that this library does not know.
 * @param status any value
 * @return ::mctx_kind, ::MCTX_KIND_NONE for values >= 0
 * @note Never blocks. Since 0.1.
 */
MCTX_API uint32_t mctx_status_kind(mctx_status status);

/**
 * The statuses of this library, one by one.
 * @param position 0, 1, ... in the order of ::MCTX_STATUS_MAP
 * @return the code, or 0 past the last
 * @note Never blocks. Since 0.1.
 */
MCTX_API mctx_status mctx_status_at(uint32_t position);

/**
 * The name of a kind.
 * @param kind ::mctx_kind
 * @return "usage", "network", ..., "none" for 0, or "unknown"; static, never NULL
 * @note Never blocks. Since 0.1.
 */
MCTX_API const char *mctx_kind_name(uint32_t kind);

/* ------------------------------------------------------------------------------------------------------------
 * The library itself
 * --------------------------------------------------------------------------------------------------------- */

/** The ABI that this header describes: major << 16 | minor. */
#define MCTX_ABI_VERSION 0x00000001u

/**
 * The version of the library: "0.1.0".
 * @return static text
 * @note Never blocks. Since 0.1.
 */
MCTX_API const char *mctx_version(void);

/**
 * The ABI of the library. A client works with it if the major half is equal to that of ::MCTX_ABI_VERSION and
 * the minor half is not smaller.
 * @return major << 16 | minor
 * @note Never blocks. Since 0.1.
 */
MCTX_API uint32_t mctx_abi_version(void);

/**
 * The value of a public constant, by its name: enumerators and numeric macros ("MCTX_KIND_USAGE"), and
 * "sizeof(mctx_error)" and the like for every public struct. A binding checks its own copies with it.
 * @param name the name, terminated
 * @param[out] value its value
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; not_found
 * @note Never blocks. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_constant(const char *name, int64_t *value, mctx_error *error);

/**
 * The names that mctx_constant() knows, one by one.
 * @param position 0, 1, ...
 * @return static text, or NULL past the last
 * @note Never blocks. Since 0.1.
 */
MCTX_API const char *mctx_constant_name(uint32_t position);

/** What the system underneath may offer. Append-only. */
enum mctx_capability_id {
  MCTX_CAPABILITY_IPV4 = 0,               /**< IPv4 sockets */
  MCTX_CAPABILITY_IPV6 = 1,               /**< IPv6 sockets */
  MCTX_CAPABILITY_BATCH_SEND = 2,         /**< many datagrams in one system call */
  MCTX_CAPABILITY_ERROR_QUEUE = 3,        /**< the device queue's refusals are reported: `queue_full` */
  MCTX_CAPABILITY_ISOLATED_SENDER = 4,    /**< a publication never takes datagrams of groups it did not join */
  MCTX_CAPABILITY_BIND_DEVICE = 5,        /**< `bind_device` */
  MCTX_CAPABILITY_MARK = 6,               /**< `mark` */
  MCTX_CAPABILITY_SEND_BUFFER_FORCE = 7,  /**< send buffers above the system's maximum */
  MCTX_CAPABILITY_FORK_DETECTION = 8,     /**< children made without libc's fork() are noticed too */
  MCTX_CAPABILITY_SIMULATED = 9,          /**< the network is simulated: this is libmctx-sim */
  MCTX_CAPABILITY_COALESCING = 10,        /**< many datagrams from one receive */
  MCTX_CAPABILITY_GROUP_BINDING = 11,     /**< receiving sockets are bound to their group */
  MCTX_CAPABILITY_INTERFACE_CHANGES = 12, /**< changes of the interfaces are noticed, and followed */
  MCTX_CAPABILITY_RECEIVE_BUFFER_FORCE = 13, /**< receive buffers above the system's maximum */
  MCTX_CAPABILITY_SEGMENTATION = 14,         /**< many datagrams from one superpacket: `offload` */
  MCTX_CAPABILITY_PACING = 15                /**< the system takes a pacing rate: ::MCTX_PACING_KERNEL */
};

/** Whether a capability can be used. */
enum mctx_capability_state {
  MCTX_CAPABILITY_ABSENT = 0,          /**< the system does not have it */
  MCTX_CAPABILITY_REFUSED = 1,         /**< the system has it and refuses it here */
  MCTX_CAPABILITY_NEEDS_PRIVILEGE = 2, /**< the system wants more rights for it */
  MCTX_CAPABILITY_AVAILABLE = 3        /**< it works */
};

/** The answer about one capability. */
typedef struct mctx_capability_info {
  uint32_t size;     /**< sizeof(mctx_capability_info), set by the caller */
  uint32_t state;    /**< ::mctx_capability_state */
  int32_t os_code;   /**< what the system answered, or 0 */
  uint32_t reserved; /**< 0 */
  char reason[240];  /**< one sentence: why it is so */
} mctx_capability_info;

/**
 * Whether this system, with these rights, offers something, and why. Tries it where trying is harmless.
 * @param id ::mctx_capability_id
 * @param[in,out] info `size` set by the caller; the answer
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; struct_size; not_found for an id that this library does not know
 * @note Does not block. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_capability(uint32_t id, mctx_capability_info *info, mctx_error *error);

/**
 * The name of a capability.
 * @param id ::mctx_capability_id
 * @return "ipv4", ..., or NULL past the last; static
 * @note Never blocks. Since 0.1.
 */
MCTX_API const char *mctx_capability_name(uint32_t id);

/* ------------------------------------------------------------------------------------------------------------
 * Addresses and sockets as values
 * --------------------------------------------------------------------------------------------------------- */

/**
 * An address, with a port, a prefix length and a scope where they belong. All zero means "none". Never holds a
 * system's own constants.
 */
typedef struct mctx_address {
  uint8_t family;    /**< 4, 6, or 0 for none */
  uint8_t prefix;    /**< prefix length in bits where the address stands for a network's, else 0 */
  uint16_t port;     /**< in host byte order, or 0 */
  uint32_t scope_id; /**< interface index of a scoped IPv6 address (RFC 4007), else 0 */
  uint8_t bytes[16]; /**< in network byte order; IPv4 uses the first four, the rest are 0 */
} mctx_address;

/**
 * Reads an address: `a.b.c.d`, `h:h::h`, each with an optional `%scope` (IPv6; an interface's name or index)
 * and `/prefix`, and an optional `:port`, for IPv6 as `[address]:port` (RFC 4291, RFC 4007, RFC 3986).
 * @param text terminated text, without blanks
 * @param[out] address the value
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; address_syntax; port_range; interface_not_found for an unknown scope; where its
 *         look-up fails any status of kind limit, permission, unsupported or io
 * @note Blocks only for the look-up of a scope's name. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_address_parse(const char *text, mctx_address *address, mctx_error *error);

/**
 * Writes an address in the form that mctx_address_parse() reads, IPv6 by RFC 5952; port and prefix only when
 * they are not 0, the scope as a number.
 * @param address the value
 * @param[out] text buffer of `capacity` bytes; 64 are always enough
 * @param capacity in bytes, with the terminator
 * @param[out] length the length of the whole text, without the terminator
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; invalid_argument if the family is none of 0, 4, 6
 * @note Never blocks. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_address_format(const mctx_address *address, char *text, size_t capacity,
                                                    size_t *length, mctx_error *error);

/** What a native handle is. */
enum mctx_os_handle_type {
  MCTX_OS_NONE = 0,       /**< none */
  MCTX_OS_DESCRIPTOR = 1, /**< a POSIX descriptor */
  MCTX_OS_SOCKET = 2,     /**< a Windows SOCKET */
  MCTX_OS_EVENT = 3       /**< a Windows event */
};

/** A native handle. */
typedef struct mctx_os_handle {
  int64_t value;     /**< the descriptor, SOCKET or HANDLE */
  uint32_t type;     /**< ::mctx_os_handle_type */
  uint32_t reserved; /**< 0 */
} mctx_os_handle;

/** A run of bytes that the caller owns. Length 0 is an empty datagram; data may then be NULL. */
typedef struct mctx_slice {
  MCTX_SLOT const void *data; /**< the first byte */
  MCTX_SLOT uint64_t length;  /**< in bytes */
} mctx_slice;

/* ------------------------------------------------------------------------------------------------------------
 * Interfaces
 * --------------------------------------------------------------------------------------------------------- */

/** How an interface is named. */
enum mctx_interface_by {
  MCTX_INTERFACE_ANY = 0,        /**< not named: the system chooses */
  MCTX_INTERFACE_BY_INDEX = 1,   /**< `index` */
  MCTX_INTERFACE_BY_ADDRESS = 2, /**< `address`: one of its own, unicast */
  MCTX_INTERFACE_BY_NAME = 3     /**< `name`: "eth0", or the friendly name */
};

/** An interface as the user names it; kept as said, which survives the interface's re-creation. */
typedef struct mctx_interface_ref {
  uint32_t by;                /**< ::mctx_interface_by */
  uint32_t index;             /**< by index: the index, never 0 */
  mctx_address address;       /**< by address */
  MCTX_SLOT const char *name; /**< by name: terminated, copied by the call; NULL in what the library returns */
} mctx_interface_ref;

/** The state and abilities of an interface. */
enum mctx_interface_flag {
  MCTX_INTERFACE_UP = 1,              /**< administratively up */
  MCTX_INTERFACE_RUNNING = 2,         /**< has a carrier */
  MCTX_INTERFACE_LOOPBACK = 4,        /**< the loopback interface */
  MCTX_INTERFACE_MULTICAST = 8,       /**< says that it supports multicast */
  MCTX_INTERFACE_POINT_TO_POINT = 16, /**< has one peer: a tunnel */
  MCTX_INTERFACE_BROADCAST = 32,      /**< supports broadcast */
  MCTX_INTERFACE_ENSLAVED = 64        /**< belongs to a bridge, bond or team, and never receives by itself */
};

/** One interface of a snapshot. */
typedef struct mctx_interface_info {
  uint32_t size;            /**< sizeof(mctx_interface_info), set by the caller */
  uint32_t index;           /**< the system's index, never 0 */
  uint32_t flags;           /**< ::mctx_interface_flag */
  uint32_t mtu;             /**< in bytes */
  uint32_t address_count;   /**< see mctx_interface_list_addresses() */
  uint32_t hardware_length; /**< bytes of `hardware` in use */
  uint8_t hardware[32];     /**< the hardware address */
  char name[64];            /**< the system's name, "eth0" */
} mctx_interface_info;

/**
 * Takes a snapshot of the host's interfaces, their addresses and the default routes. Close it with
 * mctx_close().
 * @param[out] list the handle
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; any status of kind limit; permission; unsupported; io
 * @note Asks the system; does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_interface_list_open(mctx_interface_list *list, mctx_error *error);

/**
 * How many interfaces the snapshot has, in order of their index.
 * @param list the snapshot
 * @param[out] count the number
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; a handle's errors
 * @note Never blocks. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_interface_list_count(mctx_interface_list list, uint32_t *count,
                                                          mctx_error *error);

/**
 * One interface.
 * @param list the snapshot
 * @param position 0 to count - 1
 * @param[in,out] info `size` set by the caller; the answer
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; struct_size; interface_not_found past the last; a handle's errors
 * @note Never blocks. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_interface_list_get(mctx_interface_list list, uint32_t position,
                                                        mctx_interface_info *info, mctx_error *error);

/**
 * The addresses of one interface, each with its prefix length, link-local IPv6 ones with their scope id.
 * @param list the snapshot
 * @param position 0 to count - 1
 * @param[out] addresses array of `capacity` elements, or NULL with capacity 0
 * @param capacity in elements
 * @param[out] count how many addresses the interface has
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; interface_not_found past the last; a handle's errors
 * @note Never blocks. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_interface_list_addresses(mctx_interface_list list, uint32_t position,
                                                              mctx_address *addresses, uint32_t capacity,
                                                              uint32_t *count, mctx_error *error);

/**
 * The name that people know an interface by: "Local Area Connection" on Windows, the alias on Linux where one
 * is set, else its name.
 * @param list the snapshot
 * @param position 0 to count - 1
 * @param[out] text buffer of `capacity` bytes, or NULL with capacity 0
 * @param capacity in bytes, with the terminator; 1024 are always enough
 * @param[out] length the length of the whole name, without the terminator
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; interface_not_found past the last; a handle's errors
 * @note Never blocks. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_interface_list_friendly_name(mctx_interface_list list, uint32_t position,
                                                                  char *text, size_t capacity, size_t *length,
                                                                  mctx_error *error);

/**
 * Finds an interface by name (exact, then friendly), index or local address.
 * @param list the snapshot
 * @param wanted what to look for
 * @param[out] position where it stands
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; interface_not_found; interface_index_zero; interface_unspecified;
 *         interface_multicast; option_conflict; invalid_argument; a handle's errors
 * @note Never blocks. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_interface_list_find(mctx_interface_list list,
                                                         const mctx_interface_ref *wanted, uint32_t *position,
                                                         mctx_error *error);

/**
 * The interface through which the system's routing table sends a multicast datagram that names none: for IPv4
 * by the route to 224.0.0.0/4, which is mostly the default route; for IPv6 by the multicast routes (ff00::/8),
 * where the default route plays no part.
 * @param list the snapshot
 * @param family 4 or 6
 * @param[out] position where it stands
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; invalid_argument; no_default_interface; a handle's errors
 * @note Never blocks. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_interface_list_default(mctx_interface_list list, uint32_t family,
                                                            uint32_t *position, mctx_error *error);

/* ------------------------------------------------------------------------------------------------------------
 * Any handle
 * --------------------------------------------------------------------------------------------------------- */

/**
 * Closes any handle. Marks it closed, wakes whoever waits on it (they get `closed`), waits for calls in
 * progress, frees what it holds; the port is free when it returns. Closing a context closes all that it owns.
 * @param handle the object
 * @param error where the failure is described, or NULL
 * @return 0; closed if somebody closed it before or is doing so; forked; invalid_handle
 * @note Waits for other threads' calls on the object, which end at once. Since 0.1.
 */
MCTX_API mctx_status mctx_close(mctx_handle handle, mctx_error *error);

/**
 * Ends one wait on the object with `woken`: the current one, or else the next. A token: calls before it is
 * taken count as one, and exactly one waiter takes it. Waiters are mctx_wait(), mctx_wait_many() on its
 * context, receives and batch sends with a timeout.
 * @param handle a context, publication or subscription
 * @return 0; a handle's errors; in a forked child that has called nothing else yet, forked for every handle
 * @note Async-signal-safe. Never blocks. Since 0.1.
 */
MCTX_API mctx_status mctx_wake(mctx_handle handle);

/** What to wait for. */
enum mctx_ready {
  MCTX_READABLE = 1, /**< something can be received */
  MCTX_WRITABLE = 2  /**< the socket takes something; whether a pacing rate allows it is not looked at */
};

/** Flags of calls that may wait. */
enum mctx_wait_flag {
  MCTX_INTERRUPTIBLE = 1 /**< a signal that is delivered to this thread ends the wait with `signal` */
};

/**
 * Waits until an object is ready.
 * @param handle a publication; a subscription, which is readable; or a context, which is readable when one of
 * its subscriptions is
 * @param interest ::mctx_ready bits; 0 waits for mctx_wake(), close or the timeout
 * @param flags ::mctx_wait_flag bits
 * @param timeout_ns nanoseconds; 0 asks without blocking, negative waits for ever
 * @param[out] ready the bits that hold
 * @param error where the failure is described, or NULL
 * @return 0; would_block (timeout 0); timeout; woken; signal; null_argument; reserved; invalid_argument for an
 *         interest that the object does not have; too_many_descriptors: the first wait on an object opens one;
 *         nothing_joined: a subscription without a group, for ever; io; a handle's errors
 * @note Blocks as asked. A subscription that was readable may have nothing to deliver: what arrived was
 * discarded, or told of a change of the interfaces. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_wait(mctx_handle handle, uint32_t interest, uint32_t flags,
                                          int64_t timeout_ns, uint32_t *ready, mctx_error *error);

/** One of several objects to wait for. */
typedef struct mctx_wait_item {
  mctx_handle handle; /**< a publication or subscription */
  uint32_t interest;  /**< ::mctx_ready bits */
  uint32_t ready;     /**< out: the bits that hold */
} mctx_wait_item;

/**
 * Waits until at least one of several objects is ready.
 * @param context its mctx_wake() ends the wait, as that of each object does; the objects may be of any context
 * @param[in,out] items array of `count` elements; `ready` is set in each
 * @param stride the size of one element as the caller knows it, in bytes; a multiple of 8
 * @param count in elements, at most 4096; 0 waits for mctx_wake() alone
 * @param flags ::mctx_wait_flag bits
 * @param timeout_ns nanoseconds; 0 asks without blocking, negative waits for ever
 * @param[out] ready_count how many of them are ready
 * @param error where the failure is described, or NULL; `item` says which element, also which was closed or
 * woken
 * @return as mctx_wait(); struct_size; no_memory
 * @note Blocks as asked; allocates for the call. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_wait_many(mctx_context context, mctx_wait_item *items, uint32_t stride,
                                               uint32_t count, uint32_t flags, int64_t timeout_ns,
                                               uint32_t *ready_count, mctx_error *error);

/**
 * The native handle to watch in an event loop of one's own. It stays the library's: never close it. A
 * publication's is its socket: writable means that a datagram may be accepted. A subscription's is one of its
 * own, whatever sockets stand behind it: readable, and level-triggered, as long as something can be received,
 * or a change of the interfaces can be followed, which the next receive does. A context's is readable when one
 * of its subscriptions is. On Linux the latter two are epoll descriptors: they may be watched by epoll, poll or
 * select, four levels deep.
 * What could not be joined again for a shortage (memory, descriptors) makes nothing readable: the next receive,
 * mctx_wait() or mctx_events() tries it again.
 * @param handle a publication, subscription or context
 * @param[out] native the value; it is the same until the object is closed
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; unsupported for objects without one; any status of kind limit, for a context; a
 * handle's errors
 * @note Never blocks. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_pollable(mctx_handle handle, mctx_os_handle *native, mctx_error *error);

/**
 * The counters of a publication or subscription, or of a context: its own and the sums over all that it ever
 * had. An object's are a state between two of its calls; sums never fall when one is closed.
 * @param handle a context, publication or subscription
 * @param[out] values array of `capacity` elements, or NULL with capacity 0; names by mctx_metric_name()
 * @param capacity in elements
 * @param[out] count how many counters there are
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; a handle's errors
 * @note Does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_metrics(mctx_handle handle, uint64_t *values, uint32_t capacity,
                                             uint32_t *count, mctx_error *error);

/**
 * The name of a counter. Positions are append-only.
 * @param handle_kind ::mctx_handle_kind
 * @param position of the counter in the vector
 * @return "send_calls", ..., or NULL past the last; static
 * @note Never blocks. Since 0.1.
 */
MCTX_API const char *mctx_metric_name(uint32_t handle_kind, uint32_t position);

/** What happened to an object by itself. */
enum mctx_event_type {
  MCTX_EVENT_NONE = 0,        /**< none */
  MCTX_EVENT_SOURCE_GONE = 1, /**< the source that the user named is no longer an address of this host, noticed
                                   when a send fails for it (Linux goes on sending from a link-local one) */
  MCTX_EVENT_SOURCE_CHANGED = 2, /**< the system chose another source: `address` */
  MCTX_EVENT_OVERFLOW = 3,       /**< `value` events before this one were lost: nobody had fetched them */
  MCTX_EVENT_INTERFACE_LOST = 4, /**< an interface went away or cannot receive the groups any more (its MTU, a
                                      bridge), if only for a moment, and `value` memberships on it with it; or
                                      that may have been, because the system lost announcements */
  MCTX_EVENT_INTERFACE_APPEARED =
      5,                  /**< an interface joined the default set: `value` groups were joined on it */
  MCTX_EVENT_REBUILT = 6, /**< an interface is there again, or still: `value` memberships were joined anew,
                               and what was sent meanwhile is missing */
  MCTX_EVENT_REFUSED =
      7, /**< an interface of the default set refuses groups: `address` is the first of `value` */
  MCTX_EVENT_NO_INTERFACE = 8, /**< the default set has no interface for the family of `address`, a group */
  MCTX_EVENT_DROPS = 9,        /**< the kernel drops messages, after a second without: `value` so far */
  MCTX_EVENT_SOURCELESS = 10   /**< a source-specific group, `address`, was joined without a source (RFC 4607):
                                  routers forward nothing to such a member */
};

/** One event. */
typedef struct mctx_event {
  uint32_t type;            /**< ::mctx_event_type */
  uint32_t interface_index; /**< the interface concerned, or 0 */
  mctx_handle handle;       /**< the object concerned */
  int64_t time_ns;          /**< when it was noticed, UTC, in nanoseconds since 1970 */
  uint64_t value;           /**< a number that belongs to it, or 0 */
  mctx_address address;     /**< the address concerned */
} mctx_event;

/**
 * Takes events that wait, oldest first: of a publication or subscription, or of a context: those of its
 * publications and then its subscriptions, one object after the other. An object keeps 16; later ones push out
 * the oldest, which
 * ::MCTX_EVENT_OVERFLOW counts. Changes of the interfaces that have not been looked at are followed first.
 * @param handle a context, publication or subscription
 * @param[out] events array of `capacity` elements
 * @param stride the size of one element as the caller knows it, in bytes; a multiple of 8
 * @param capacity in elements
 * @param[out] count how many were taken
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; struct_size; a handle's errors
 * @note Never blocks. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_events(mctx_handle handle, mctx_event *events, uint32_t stride,
                                            uint32_t capacity, uint32_t *count, mctx_error *error);

/* ------------------------------------------------------------------------------------------------------------
 * Context
 * --------------------------------------------------------------------------------------------------------- */

/** Options of a context. */
typedef struct mctx_context_options {
  uint32_t size;  /**< sizeof(mctx_context_options), set by the initialiser */
  uint32_t flags; /**< 0 */
} mctx_context_options;

/**
 * Sets the defaults.
 * @param[out] options the options; NULL does nothing
 * @param size sizeof(mctx_context_options) as the caller knows it, in bytes
 * @note Never fails, never blocks. Since 0.1.
 */
MCTX_API void mctx_context_options_init(mctx_context_options *options, uint32_t size);

/**
 * Opens a context: the owner of publications and subscriptions.
 * @param options the options, or NULL for the defaults
 * @param[out] context the handle; close it with mctx_close()
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; struct_size; struct_tail; reserved; no_memory; too_many_handles
 * @note Does not block. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_context_open(const mctx_context_options *options, mctx_context *context,
                                                  mctx_error *error);

/**
 * The publications of a context in order of opening.
 * @param context the context
 * @param[out] publications array of `capacity` elements, or NULL with capacity 0
 * @param capacity in elements
 * @param[out] count how many there are
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; a handle's errors
 * @note Does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_context_publications(mctx_context context, mctx_publication *publications,
                                                          uint32_t capacity, uint32_t *count,
                                                          mctx_error *error);

/**
 * The subscriptions of a context in order of opening.
 * @param context the context
 * @param[out] subscriptions array of `capacity` elements, or NULL with capacity 0
 * @param capacity in elements
 * @param[out] count how many there are
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; a handle's errors
 * @note Does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_context_subscriptions(mctx_context context,
                                                           mctx_subscription *subscriptions, uint32_t capacity,
                                                           uint32_t *count, mctx_error *error);

/* ------------------------------------------------------------------------------------------------------------
 * Publication
 * --------------------------------------------------------------------------------------------------------- */

/** Leaves a setting to the library or the system, where a field says that this is possible. */
#define MCTX_AUTO INT32_MIN

/**
 * Options of a publication. mctx_publication_options_init() sets the defaults; set `group` and go.
 *
 * `source` is the exact sender address that receivers see; `outgoing_interface` is where datagrams leave.
 * Without either the system's routing table chooses. An interface given by address, with no source, binds that
 * address; an interface index or name invents no source. Of `bind`, an unspecified address or a port of 0
 * leaves that to the system.
 */
typedef struct mctx_publication_options {
  uint32_t size;       /**< sizeof(mctx_publication_options), set by the initialiser */
  uint32_t flags;      /**< ::mctx_publication_flag bits; default 0 */
  mctx_address group;  /**< the multicast group, and the port unless `port` says it */
  mctx_address source; /**< sender address, one of this host's; default none */
  mctx_address bind;   /**< source and source port in one value; excludes both; default none */
  mctx_interface_ref outgoing_interface; /**< where datagrams leave; default: the routing table chooses;
                                              "interface" in error records */
  int32_t port;                          /**< destination port, 1 to 65535; default ::MCTX_AUTO: `group.port` */
  int32_t source_port; /**< sender port, 1 to 65535; default ::MCTX_AUTO: the system chooses */
  int32_t hop_limit;   /**< TTL or hop limit, 0 to 255; default 1 */
  int32_t loopback;    /**< 1: members on this host receive too; 0: not; default 1 */
  int32_t dscp;        /**< differentiated services code point, 0 to 63; default 0 (RFC 2474) */
  int32_t connected;   /**< 1: connect the socket to the group; 0: not; default 1 */
  int32_t reuse_port;  /**< 1: share the source port, 0: not; default ::MCTX_AUTO: 1 with a source port */
  int32_t error_queue; /**< report the device queue's refusals: 1, 0; default ::MCTX_AUTO: when loopback is 0 */
  int32_t dont_fragment; /**< 1: never fragment, 0: allow; default ::MCTX_AUTO: the system's setting */
  int32_t priority;      /**< socket priority, 0 to 6; default ::MCTX_AUTO: the system's (SO_PRIORITY) */
  int64_t send_buffer;   /**< bytes to ask for, at most 2^31 - 1; default 0: the system's (SO_SNDBUF) */
  int64_t mark;          /**< socket mark, 0 to 2^32 - 1; default ::MCTX_AUTO: none (SO_MARK) */
  MCTX_SLOT const char *bind_device; /**< name of a device to bind to; default NULL (SO_BINDTODEVICE) */
  MCTX_SLOT mctx_os_handle socket;   /**< an existing UDP socket to adopt; default none */
  int32_t offload; /**< 1: batches go as superpackets where the system cuts them, 0: not; default ::MCTX_AUTO: 1
                        unless `error_queue` is set to 1 */
  int32_t pacing_unit;  /**< of `pacing_rate` and `pacing_burst`: ::mctx_pacing_unit */
  int64_t pacing_rate;  /**< at most so much a second, up to 10^12; default 0: no pacing */
  int64_t pacing_burst; /**< so much may go at once, up to 2^33; default 0: what the rate yields in 10 ms */
  int32_t pacing_by;    /**< who paces: ::mctx_pacing_by; default ::MCTX_AUTO */
  uint32_t reserved;    /**< 0 */
} mctx_publication_options;

/** What a pacing rate counts. */
enum mctx_pacing_unit {
  MCTX_PACING_BITS = 0,     /**< bits of payload a second (by the kernel: of packets, headers included) */
  MCTX_PACING_DATAGRAMS = 1 /**< datagrams a second */
};

/**
 * Who holds a publication to its rate. ::MCTX_AUTO leaves it to the kernel where that is known to do so and to
 * say when its queue is full: on Linux when the rate counts at least 524,288 bits, no burst is given, the error
 * queue is on, loopback is off and the interface's queue is `fq`, all when the publication is opened; else to
 * the library. The kernel does not pace the copies for members on this host, and a socket that is taken out
 * keeps the kernel's rate.
 */
enum mctx_pacing_by {
  MCTX_PACING_LIBRARY = 0, /**< the library's clock: sends answer `paced`, or wait */
  MCTX_PACING_KERNEL = 1   /**< SO_MAX_PACING_RATE: it has no effect where the interface's queue ignores it */
};

/** Flags of a publication. */
enum mctx_publication_flag {
  MCTX_PUBLICATION_DUPLICATE = 1 /**< allow a second publication of this configuration: a socket per thread */
};

/** What a publication is: what the user configured, and what the system chose. */
typedef struct mctx_publication_info {
  uint32_t size;        /**< sizeof(mctx_publication_info), set by the caller */
  uint32_t flags;       /**< ::mctx_publication_flag and ::mctx_publication_state bits */
  mctx_context context; /**< its owner */
  mctx_address group;   /**< the destination: group, port, and the scope id in use */
  mctx_address source;  /**< the source as configured, port included; family 0 if none */
  mctx_address local;   /**< the socket's own address, port and scope id now */
  mctx_address sender;  /**< the source that receivers see, with port; family 0 if no route tells */
  mctx_interface_ref outgoing_interface; /**< as configured; its name by mctx_publication_interface_name() */
  uint32_t interface_index;              /**< the interface in effect, or 0 if no route tells */
  int32_t hop_limit;                     /**< in effect */
  int32_t loopback;                      /**< in effect: 0 or 1 */
  int32_t dscp;                          /**< in effect */
  int32_t connected;                     /**< 0 or 1 */
  int32_t reuse_port;                    /**< in effect: 0 or 1 */
  int32_t error_queue;                   /**< in effect: 0 or 1 */
  int32_t dont_fragment;                 /**< as configured: 0, 1 or ::MCTX_AUTO */
  int32_t priority;                      /**< as configured, or ::MCTX_AUTO */
  int32_t source_port;                   /**< as configured, or ::MCTX_AUTO */
  int64_t mark;                          /**< as configured, or ::MCTX_AUTO */
  uint64_t send_buffer_asked;            /**< bytes as configured, 0 for the system's default */
  uint64_t send_buffer;         /**< bytes granted, as the system counts them (Linux: twice the asked) */
  uint64_t max_datagram;        /**< the largest payload in bytes: 65507 (IPv4) or 65527 (IPv6) */
  mctx_os_handle socket;        /**< the socket; it stays the library's */
  int32_t offload;              /**< in effect: 0 or 1 */
  uint32_t segment_count_limit; /**< datagrams that go as one superpacket now, at most; 1: no offload */
  uint64_t segment_size_limit;  /**< the largest datagram that goes in a superpacket now, in bytes */
  mctx_status offload_status;   /**< why the limits are lower than at first: what the system answered; or 0 */
  int32_t offload_os_code;      /**< the system's code for it */
  int64_t pacing_rate;          /**< in effect, 0: none */
  int64_t pacing_burst;         /**< in effect where the library paces */
  int32_t pacing_unit;          /**< ::mctx_pacing_unit */
  int32_t pacing_by;            /**< in effect: ::mctx_pacing_by */
} mctx_publication_info;

/** What `flags` of ::mctx_publication_info says beyond ::mctx_publication_flag. */
enum mctx_publication_state {
  MCTX_PUBLICATION_ADOPTED = 65536 /**< the socket was the caller's; lower bits are ::mctx_publication_flag */
};

/**
 * Sets the defaults.
 * @param[out] options the options; NULL does nothing
 * @param size sizeof(mctx_publication_options) as the caller knows it, in bytes
 * @note Never fails, never blocks. Since 0.1.
 */
MCTX_API void mctx_publication_options_init(mctx_publication_options *options, uint32_t size);

/**
 * Opens a publication: one ready-to-send, non-blocking UDP socket for one group and port. Needs no interface
 * to be up. An adopted socket belongs to the library from success on; on failure it is as it was, but that a
 * port or device that was bound may stay so where the system takes no binding back.
 * @param context the owner
 * @param options the options
 * @param[out] publication the handle; close it with mctx_close()
 * @param error where the failure is described, or NULL
 * @return 0; any status of kind usage; interface_not_found; source_not_local; publication_exists;
 *         address_in_use; permission; unsupported; family_unsupported; any status of kind limit; io; a
 *         handle's errors. A missing route is no error here: the first send says it
 * @note Does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_publication_open(mctx_context context,
                                                      const mctx_publication_options *options,
                                                      mctx_publication *publication, mctx_error *error);

/**
 * Everything that was configured, and everything that the system chose.
 * @param publication the publication
 * @param[in,out] info `size` set by the caller; the answer
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; struct_size; not_a_socket if somebody closed its socket; io; a handle's errors
 * @note Asks the system; does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_publication_get_info(mctx_publication publication,
                                                          mctx_publication_info *info, mctx_error *error);

/**
 * The name of the interface as it was configured by name, else of the interface in effect; empty if there is
 * neither.
 * @param publication the publication
 * @param[out] text buffer of `capacity` bytes, or NULL with capacity 0
 * @param capacity in bytes, with the terminator; 1024 are always enough
 * @param[out] length the length of the whole name, without the terminator
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; any status of kind limit; permission; unsupported; not_a_socket; io; a handle's
 *         errors
 * @note Asks the system; does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_publication_interface_name(mctx_publication publication, char *text,
                                                                size_t capacity, size_t *length,
                                                                mctx_error *error);

/**
 * What a receiver needs to subscribe to exactly this: (source, group, port), for SSM (RFC 4607) too.
 * @param publication the publication
 * @param[out] source the sender address, with its port
 * @param[out] group the group, with the destination port
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; no_route if nothing tells which source would be used; not_a_socket; io; a handle's
 *         errors
 * @note Asks the system; does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_publication_announce(mctx_publication publication, mctx_address *source,
                                                          mctx_address *group, mctx_error *error);

/**
 * Takes the socket out: the handle is closed, the socket is the caller's, still open, configured and
 * non-blocking.
 * @param publication the publication
 * @param[out] native the socket
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; a handle's errors
 * @note Waits for other threads' calls on the object, which end at once. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_publication_take(mctx_publication publication, mctx_os_handle *native,
                                                      mctx_error *error);

/* ------------------------------------------------------------------------------------------------------------
 * Sending
 *
 * "Accepted" means: the system took the datagram in a call that returned success. With the error queue on, a
 * datagram that the interface's queue refused is not accepted (`queue_full`); with it off, the system may
 * still drop an accepted one there without a word, and so may queues that take superpackets apart themselves.
 * docs/sending.md has the whole table.
 *
 * A batch goes as superpackets where the system cuts them into datagrams (`offload`): runs of datagrams of one
 * size, with one shorter behind them. They arrive as if sent one by one.
 * --------------------------------------------------------------------------------------------------------- */

/**
 * Sends one datagram.
 * @param publication the publication
 * @param data the payload; may be NULL if length is 0
 * @param length in bytes; 0 is a datagram too
 * @param error where the failure is described, or NULL
 * @return 0: accepted; would_block; paced; queue_full; datagram_too_large; null_argument; any status of kind
 * network; firewall; permission; no_memory; not_a_socket; io; a handle's errors
 * @note Never blocks. Never allocates, but to find the reason of a failure of kind network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_send(mctx_publication publication, const void *data, size_t length,
                                          mctx_error *error);

/**
 * Sends many datagrams in order. The accepted ones are exactly the first `accepted`: none is skipped, sent
 * twice or reordered. The status is 0 exactly when all were accepted; else it is the reason why datagram
 * `accepted` was not, and `error->item` names it.
 * @param publication the publication
 * @param slices one datagram each
 * @param count in slices; 0 does nothing
 * @param flags ::mctx_wait_flag bits
 * @param timeout_ns nanoseconds from the call; 0 takes what goes now, otherwise waits and resumes
 * @param[out] accepted progress counter: how many the system accepted; may be NULL
 * @param error where the failure is described, or NULL
 * @return as mctx_send(); reserved; timeout; woken; signal; too_many_descriptors: the first wait on an object
 *         opens one
 * @note Blocks as asked; never allocates. A wait that meets `queue_full` backs off, and returns it after one
 *       second without progress whatever the timeout. Of a paced publication it sleeps until the rate lets the
 *       next datagrams go, and never spins. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_send_batch(mctx_publication publication, const mctx_slice *slices,
                                                size_t count, uint32_t flags, int64_t timeout_ns,
                                                uint64_t *accepted, mctx_error *error);

/**
 * Sends one buffer as many datagrams of equal size, the last one shorter where the length is no multiple. The
 * promise is that of mctx_send_batch().
 * @param publication the publication
 * @param data the payloads, one behind the other
 * @param length of all, in bytes; 0 does nothing
 * @param segment_size of each datagram, in bytes: 1 to `max_datagram`
 * @param flags ::mctx_wait_flag bits
 * @param timeout_ns nanoseconds from the call; 0 takes what goes now, otherwise waits and resumes
 * @param[out] accepted progress counter: how many datagrams the system accepted; may be NULL
 * @param error where the failure is described, or NULL
 * @return as mctx_send_batch(); segment_size
 * @note Blocks as asked; never allocates. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_send_segments(mctx_publication publication, const void *data,
                                                   size_t length, uint32_t segment_size, uint32_t flags,
                                                   int64_t timeout_ns, uint64_t *accepted, mctx_error *error);

/** What became of one publication's datagram. */
typedef struct mctx_send_outcome {
  mctx_publication publication; /**< which */
  mctx_status status;           /**< as mctx_send() would return it */
  int32_t os_code;              /**< what the system answered, or 0 */
} mctx_send_outcome;

/**
 * Sends one payload on every publication of a context, in order of opening, and goes on past those that fail.
 * @param context the context
 * @param data the payload; may be NULL if length is 0
 * @param length in bytes
 * @param[out] outcomes array of `capacity` elements, in order of opening, or NULL with capacity 0 if nobody
 * asks
 * @param stride the size of one element as the caller knows it, in bytes; a multiple of 8
 * @param capacity in elements
 * @param[out] count progress counter: how many publications there were; if `capacity` is smaller and not 0,
 *             nothing is sent, and the status is `capacity`
 * @param error where the first failure is described (`item` says which), or NULL
 * @return 0: all accepted; else the status of the first that failed; capacity; null_argument; struct_size;
 *         a handle's errors
 * @note Never blocks for the network, never allocates. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_send_all(mctx_context context, const void *data, size_t length,
                                              mctx_send_outcome *outcomes, uint32_t stride, uint32_t capacity,
                                              uint32_t *count, mctx_error *error);

/* ------------------------------------------------------------------------------------------------------------
 * Subscription
 *
 * One receiver for one UDP port and any set of groups, each on any set of interfaces with a source filter
 * (RFC 3376, RFC 3678, RFC 3810, RFC 4607). What is delivered was sent to a joined group, arrived on an
 * interface where it is joined, from a source that its filter lets through; everything else is discarded and
 * counted. Behind the handle stand as many sockets as the system needs.
 * --------------------------------------------------------------------------------------------------------- */

/** How a source filter reads its list (RFC 3678). */
enum mctx_filter_mode {
  MCTX_EXCLUDE = 0, /**< every source but those listed; with an empty list, any source (ASM) */
  MCTX_INCLUDE = 1  /**< the sources listed and no others (SSM) */
};

/** A group to join or leave, where, and from whom. Elements of an array: the call takes their stride. */
typedef struct mctx_membership {
  mctx_address group; /**< the multicast group; its port must be 0 or the subscription's; its scope id, if
                           there is one, names the interface */
  mctx_interface_ref ingress; /**< the interface to receive on, "interface" in error records; default: all of
                                 the subscription's interfaces */
  uint32_t mode;              /**< ::mctx_filter_mode */
  uint32_t reserved;          /**< 0 */
  MCTX_SLOT const mctx_address *sources; /**< the list of the filter, in any order, or NULL */
  MCTX_SLOT uint64_t source_count;       /**< in addresses */
} mctx_membership;

/** Which sockets a subscription uses. */
enum mctx_binding {
  MCTX_BINDING_AUTO = 0,    /**< bound to their group where the system can and descriptors suffice */
  MCTX_BINDING_GROUP = 1,   /**< bound to their group, always */
  MCTX_BINDING_WILDCARD = 2 /**< bound to the port alone: takes the port's unicast from other programs */
};

/** What a message may tell, and a subscription may be asked to collect. */
enum mctx_metadata {
  MCTX_META_SOURCE = 1,        /**< `source` */
  MCTX_META_GROUP = 2,         /**< `group` and `interface_index` */
  MCTX_META_HOP_LIMIT = 4,     /**< `hop_limit` */
  MCTX_META_TRAFFIC_CLASS = 8, /**< `traffic_class` */
  MCTX_META_TIME = 16,         /**< `time_ns` */
  MCTX_META_DROPS = 32,        /**< `drops`; the counter kernel_drops and ::MCTX_EVENT_DROPS come from it too */
  MCTX_META_ALL = 63           /**< all of them */
};

/** Options of a subscription. mctx_subscription_options_init() sets the defaults. */
typedef struct mctx_subscription_options {
  uint32_t size;      /**< set by the initialiser */
  uint32_t flags;     /**< ::mctx_subscription_flag bits; default 0 */
  int32_t port;       /**< 1 to 65535; default ::MCTX_AUTO: the first group's own; 0: one is chosen */
  int32_t reuse_port; /**< 1: other programs may receive on the port too; 0: not what is joined; default 1 */
  int32_t coalescing; /**< 1: take many datagrams of a sender from the kernel at once; default 1 */
  uint32_t binding;   /**< ::mctx_binding; default ::MCTX_BINDING_AUTO */
  uint32_t metadata;  /**< ::mctx_metadata bits; default ::MCTX_META_ALL; less is faster */
  uint32_t max_group_sockets; /**< sockets bound to a group, at most; default 256; never more than a quarter of
                                 the descriptors that the process may have */
  int64_t receive_buffer; /**< bytes per socket; default 4 MiB, cut by the system's maximum; 0: the system's */
  MCTX_SLOT const mctx_interface_ref *interfaces; /**< where to join what names no interface; default NULL: the
                                                     default set, see ::MCTX_SUBSCRIPTION_FROZEN */
  MCTX_SLOT uint64_t interface_count;             /**< elements of `interfaces` */
  MCTX_SLOT const mctx_membership *memberships;   /**< what to join at once, or NULL */
  MCTX_SLOT uint64_t membership_count;            /**< elements of `memberships` */
  MCTX_SLOT uint64_t membership_stride;           /**< sizeof(mctx_membership) as the caller knows it, in bytes,
                                                       set by the caller if there are memberships */
} mctx_subscription_options;

/** Flags of a subscription. */
enum mctx_subscription_flag {
  /** Keep the default set of interfaces as it is when a group is joined, instead of following the host's. The
   * set: those that are up and capable of multicast, but the loopback and the ports of bridges, bonds and
   * teams. */
  MCTX_SUBSCRIPTION_FROZEN = 1
};

/** What `flags` of ::mctx_subscription_info says beyond ::mctx_subscription_flag. */
enum mctx_subscription_state {
  MCTX_SUBSCRIPTION_BLIND = 65536 /**< changes of the interfaces are not noticed: the system does not tell */
};

/** Which clock `time_ns` of a message is of. */
enum mctx_clock {
  MCTX_CLOCK_NONE = 0, /**< the system tells no time of receipt */
  MCTX_CLOCK_SYSTEM =
      1 /**< the kernel's real-time clock (UTC), read when the network stack took the packet in */
};

/** What a subscription is. */
typedef struct mctx_subscription_info {
  uint32_t size;                 /**< sizeof(mctx_subscription_info), set by the caller */
  uint32_t flags;                /**< ::mctx_subscription_flag and ::mctx_subscription_state bits */
  mctx_context context;          /**< its owner */
  uint32_t port;                 /**< the port, also when it was chosen */
  uint32_t metadata;             /**< ::mctx_metadata bits asked for */
  int32_t reuse_port;            /**< 0 or 1 */
  int32_t coalescing;            /**< 1 if the sockets coalesce */
  uint32_t binding;              /**< ::mctx_binding as configured */
  uint32_t clock;                /**< ::mctx_clock of the receive times */
  uint32_t group_sockets;        /**< sockets bound to a group */
  uint32_t wildcard_sockets;     /**< sockets bound to the port alone */
  uint32_t membership_count;     /**< as mctx_memberships() lists them */
  uint32_t max_group_sockets;    /**< in effect */
  uint64_t receive_buffer_asked; /**< bytes per socket as configured */
  uint64_t receive_buffer; /**< bytes granted, as the system counts them (Linux: twice the asked): the least of
                                the sockets'; 0 without sockets */
  uint64_t min_arena;      /**< what mctx_recv_batch() needs at least, in bytes */
  uint64_t min_datagrams;  /**< and in datagram records */
} mctx_subscription_info;

/** One membership as it is: one group on one interface. */
typedef struct mctx_membership_info {
  mctx_address group;       /**< the group */
  uint32_t id;              /**< names the membership in this subscription; never used again */
  uint32_t interface_index; /**< the interface, or 0 while it is not there */
  uint32_t mode;            /**< ::mctx_filter_mode */
  uint32_t flags;           /**< ::mctx_membership_flag bits */
  mctx_status refusal;      /**< why the system refused it, or 0 */
  uint32_t name_count;      /**< see mctx_membership_name() */
  uint64_t source_count;    /**< see mctx_membership_sources() */
  uint64_t datagrams;       /**< delivered */
  uint64_t bytes;           /**< delivered */
  int64_t first_ns;         /**< from joining to the first message, in nanoseconds, or -1 */
  int64_t last_ns;          /**< age of the last message, in nanoseconds, or -1; to within some milliseconds */
} mctx_membership_info;

/** What a membership is beside its filter. */
enum mctx_membership_flag {
  MCTX_MEMBERSHIP_DEFAULT = 1,  /**< joined because its interface is in the default set */
  MCTX_MEMBERSHIP_REFUSED = 2,  /**< not joined: see `refusal` */
  MCTX_MEMBERSHIP_FILTERED = 4, /**< the library filters: the system has no room for the list */
  MCTX_MEMBERSHIP_ABSENT = 8,   /**< its interface is not there now; it is joined again when it is */
  MCTX_MEMBERSHIP_SOURCELESS =
      16 /**< a source-specific group (232.0.0.0/8, ff3x::/32) joined without a source */
};

/** One datagram of a batch. */
typedef struct mctx_datagram {
  uint32_t offset;  /**< of the payload in the arena, in bytes */
  uint32_t length;  /**< of the payload, in bytes; 0 is a datagram too */
  uint32_t message; /**< position of its message, also if message records were not asked for */
  uint32_t flags;   /**< ::mctx_datagram_flag bits */
} mctx_datagram;

/** Flags of a datagram. */
enum mctx_datagram_flag {
  MCTX_DATAGRAM_TRUNCATED = 1 /**< it was longer than the memory for it: the rest is lost */
};

/** What one kernel receive returned: one datagram, or several of one sender that the kernel coalesced. */
typedef struct mctx_message {
  uint32_t present;    /**< ::mctx_metadata bits: the fields that hold something */
  uint32_t flags;      /**< ::mctx_message_flag bits */
  mctx_address source; /**< the sender, with port, and a scope id if it is link-local */
  mctx_address group;  /**< what it was sent to, with port, and a scope id where the group's scope wants one */
  uint32_t interface_index; /**< where it arrived */
  int32_t hop_limit;        /**< TTL or hop limit on arrival, 0 to 255 */
  int32_t traffic_class;    /**< DSCP << 2 | ECN, 0 to 255 */
  uint32_t segment_size;    /**< length of its datagrams, in bytes; the last may be shorter */
  int64_t time_ns; /**< when it was received, by the clock that the info tells, nanoseconds since 1970 */
  uint64_t drops;  /**< messages that the kernel has dropped so far, over all sockets */
  uint64_t length; /**< of all its datagrams, in bytes; where it was truncated and the system tells, the
                        original length */
  uint32_t first_datagram; /**< position of its first datagram in the batch */
  uint32_t datagram_count; /**< how many of the batch's datagrams are its own */
} mctx_message;

/** Flags of a message. */
enum mctx_message_flag {
  MCTX_MESSAGE_COALESCED = 1, /**< the kernel made one of several datagrams: time and drops are not of each */
  MCTX_MESSAGE_TRUNCATED = 2  /**< something of it is lost: it did not fit */
};

/** A batch: the caller's memory, and what a call put there. Zero it, then set the sizes and pointers. */
typedef struct mctx_receive_batch {
  uint32_t size;                 /**< sizeof(mctx_receive_batch), set by the caller */
  uint32_t message_stride;       /**< sizeof(mctx_message) as the caller knows it; 0 without messages */
  MCTX_SLOT void *arena;         /**< memory for payloads */
  MCTX_SLOT uint64_t arena_size; /**< in bytes, at least `min_arena` of the subscription's info; of more than
                                      4 GiB the first 4 GiB are used */
  MCTX_SLOT mctx_datagram *datagrams;   /**< datagram records, at a multiple of 8 bytes */
  MCTX_SLOT uint64_t datagram_capacity; /**< in records, at least `min_datagrams` */
  MCTX_SLOT mctx_message *messages;    /**< message records, at a multiple of 8 bytes, or NULL if nobody asks */
  MCTX_SLOT uint64_t message_capacity; /**< in records, at least 1, or 0 with NULL */
  uint64_t datagram_count;             /**< out: datagrams received */
  uint64_t message_count;              /**< out: messages received */
  uint32_t flags;    /**< out: ::mctx_receive_batch_flag bits, also where a call that tried received nothing */
  uint32_t reserved; /**< 0 */
} mctx_receive_batch;

/** Flags of a batch. */
enum mctx_receive_batch_flag {
  MCTX_RECEIVE_BATCH_EVENTS = 1 /**< events wait: mctx_events() */
};

/**
 * Sets the defaults.
 * @param[out] options the options; NULL does nothing
 * @param size sizeof(mctx_subscription_options) as the caller knows it, in bytes
 * @note Never fails, never blocks. Since 0.1.
 */
MCTX_API void mctx_subscription_options_init(mctx_subscription_options *options, uint32_t size);

/**
 * Opens a subscription. All memberships of the options are joined, or none and nothing is open. A membership
 * that names an interface, or whose subscription does, must be accepted there (an interface that is down
 * accepts). One that names none is joined on the default set, where a refusal shows in mctx_memberships() and
 * in an event, and fails the call only if no interface accepted and at least one was tried; an empty set is
 * success with an event.
 * @param context the owner
 * @param options the options
 * @param[out] subscription the handle; close it with mctx_close()
 * @param error where the failure is described, or NULL; `item` says which membership or interface, `field`
 * where in it
 * @return 0; any status of kind usage; interface_not_found; address_in_use; membership_exists; permission;
 *         unsupported; family_unsupported; any status of kind limit; io; a handle's errors
 * @note Does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_subscription_open(mctx_context context,
                                                       const mctx_subscription_options *options,
                                                       mctx_subscription *subscription, mctx_error *error);

/**
 * What a subscription is.
 * @param subscription the subscription
 * @param[in,out] info `size` set by the caller; the answer
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; struct_size; a handle's errors
 * @note Asks the system; does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_subscription_get_info(mctx_subscription subscription,
                                                           mctx_subscription_info *info, mctx_error *error);

/**
 * Joins groups, all or none. A group that is joined there already with the same filter is `membership_exists`,
 * with another `filter_differs`; both change nothing. Two names of one interface in one call make one
 * membership that keeps both.
 * @param subscription the subscription
 * @param memberships array of `count` elements
 * @param stride the size of one element as the caller knows it, in bytes; a multiple of 8
 * @param count in elements; 0 does nothing
 * @param error where the failure is described, or NULL; `item` says which element
 * @return as mctx_subscription_open()
 * @note Does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_join(mctx_subscription subscription, const mctx_membership *memberships,
                                          uint32_t stride, uint32_t count, mctx_error *error);

/**
 * Leaves groups, all or none: on the interface that an element names, else on all. An element's filter must be
 * left out. Nothing that was sent to a left group is delivered after the call.
 * @param subscription the subscription
 * @param memberships array of `count` elements
 * @param stride the size of one element as the caller knows it, in bytes; a multiple of 8
 * @param count in elements; 0 does nothing
 * @param error where the failure is described, or NULL; `item` says which element
 * @return 0; any status of kind usage; membership_not_found; interface_not_found; any status of kind limit;
 *         permission; unsupported; io; a handle's errors
 * @note Does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_leave(mctx_subscription subscription, const mctx_membership *memberships,
                                           uint32_t stride, uint32_t count, mctx_error *error);

/**
 * Lets a source through: adds it to an include list, or takes it off an exclude list. On several interfaces: on
 * all or on none.
 * @param subscription the subscription
 * @param membership which group, and on which interface (none: on all); its filter must be left out
 * @param size sizeof(mctx_membership) as the caller knows it, in bytes
 * @param source the source
 * @param error where the failure is described, or NULL
 * @return as mctx_leave(); source_exists in an include list; source_not_found in an exclude list; where a list
 *         outgrows a socket, address_in_use and family_unsupported
 * @note Does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_allow(mctx_subscription subscription, const mctx_membership *membership,
                                           uint32_t size, const mctx_address *source, mctx_error *error);

/**
 * Shuts a source out: adds it to an exclude list. On an include filter it is `filter_mode`: replace the filter.
 * @param subscription the subscription
 * @param membership which group, and on which interface (none: on all); its filter must be left out
 * @param size sizeof(mctx_membership) as the caller knows it, in bytes
 * @param source the source
 * @param error where the failure is described, or NULL
 * @return as mctx_leave(); source_exists
 * @note Does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_block(mctx_subscription subscription, const mctx_membership *membership,
                                           uint32_t size, const mctx_address *source, mctx_error *error);

/**
 * Replaces the whole filter of a membership, mode and list; of several interfaces: of all or of none. An
 * include list that is longer than the system takes (Linux: 10 IPv4 sources, 64 IPv6 ones) is spread over
 * sockets; datagrams that arrive while it is changed to an exclude filter, or back, may be lost, and what still
 * waits after several such changes may come behind what was sent later.
 * @param subscription the subscription
 * @param membership which group, on which interface (none: on all), and the new filter
 * @param size sizeof(mctx_membership) as the caller knows it, in bytes
 * @param error where the failure is described, or NULL
 * @return as mctx_leave(); where a list outgrows a socket, address_in_use and family_unsupported
 * @note Does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_filter_set(mctx_subscription subscription,
                                                const mctx_membership *membership, uint32_t size,
                                                mctx_error *error);

/**
 * The memberships as they are, in order of joining: those refused by an interface of the default set too, and
 * those whose interface is away.
 * @param subscription the subscription
 * @param[out] memberships array of `capacity` elements, or NULL with capacity 0
 * @param stride the size of one element as the caller knows it, in bytes; a multiple of 8
 * @param capacity in elements
 * @param[out] count how many there are
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; struct_size; a handle's errors
 * @note Does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_memberships(mctx_subscription subscription,
                                                 mctx_membership_info *memberships, uint32_t stride,
                                                 uint32_t capacity, uint32_t *count, mctx_error *error);

/**
 * The source list of one membership, in order of the addresses.
 * @param subscription the subscription
 * @param id of the membership, from its ::mctx_membership_info
 * @param[out] sources array of `capacity` elements, or NULL with capacity 0
 * @param capacity in elements
 * @param[out] count how many there are
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; membership_not_found; a handle's errors
 * @note Does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_membership_sources(mctx_subscription subscription, uint32_t id,
                                                        mctx_address *sources, uint32_t capacity,
                                                        uint32_t *count, mctx_error *error);

/**
 * How the interface of one membership was named, one name after the other, as the user said it: a name, an
 * address, or an index as "#3". In the default set it is the interface's name.
 * @param subscription the subscription
 * @param id of the membership, from its ::mctx_membership_info
 * @param position 0 to `name_count` - 1
 * @param[out] text buffer of `capacity` bytes, or NULL with capacity 0
 * @param capacity in bytes, with the terminator; 1024 are always enough
 * @param[out] length the length of the whole name, without the terminator
 * @param error where the failure is described, or NULL
 * @return 0; null_argument; membership_not_found; not_found past the last; a handle's errors
 * @note Does not wait for the network. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_membership_name(mctx_subscription subscription, uint32_t id,
                                                     uint32_t position, char *text, size_t capacity,
                                                     size_t *length, mctx_error *error);

/* ------------------------------------------------------------------------------------------------------------
 * Receiving
 *
 * Order is kept for each (group, interface, source); mctx_filter_set() has the one exception. Among the sockets
 * of a subscription turns are taken, so that a flooded group does not keep the others waiting. Several threads
 * may receive on one subscription: each datagram goes to one of them.
 * --------------------------------------------------------------------------------------------------------- */

/**
 * Receives one datagram. Of a message that the kernel coalesced the other datagrams are held back for the next
 * receives, and keep the subscription readable until they are taken.
 * @param subscription the subscription
 * @param[out] data buffer of `capacity` bytes; may be NULL if capacity is 0. Bytes behind the datagram may be
 * written
 * @param capacity in bytes; of a longer datagram the rest is lost, and the message says so
 * @param flags ::mctx_wait_flag bits
 * @param timeout_ns nanoseconds; 0 never blocks, negative waits for ever
 * @param[out] length bytes put into the buffer
 * @param[out] message what is known of this datagram, as if it were a message of its own; or NULL
 * @param message_size sizeof(mctx_message) as the caller knows it, in bytes; 0 without a message
 * @param error where the failure is described, or NULL
 * @return 0; would_block; timeout; woken; signal; null_argument; struct_size; reserved; nothing_joined;
 *         too_many_descriptors: the first wait opens one; no_memory; io; a handle's errors
 * @note Blocks as asked; never allocates, but to follow a change of the interfaces. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_recv(mctx_subscription subscription, void *data, size_t capacity,
                                          uint32_t flags, int64_t timeout_ns, size_t *length,
                                          mctx_message *message, uint32_t message_size, mctx_error *error);

/**
 * Receives what is there, as long as the arena has room for a whole message. The records are in the order in
 * which datagrams came; where in the arena each lies, its record tells. The timeout is for the first datagram.
 * With at least one, the status is 0; an error met after it comes with the next call. Nothing is held back.
 * @param subscription the subscription
 * @param[in,out] batch the caller's memory; the counts
 * @param flags ::mctx_wait_flag bits
 * @param timeout_ns nanoseconds; 0 never blocks, negative waits for ever
 * @param error where the failure is described, or NULL
 * @return as mctx_recv(); misaligned; arena_too_small, with the least size in `limit`
 * @note Blocks as asked; never allocates, but to follow a change of the interfaces. A call looks at a bounded
 * number of messages: `would_block` while the handle is readable is normal. Since 0.1.
 */
MCTX_API MCTX_CHECK mctx_status mctx_recv_batch(mctx_subscription subscription, mctx_receive_batch *batch,
                                                uint32_t flags, int64_t timeout_ns, mctx_error *error);

#ifdef __cplusplus
}
#endif

#endif
