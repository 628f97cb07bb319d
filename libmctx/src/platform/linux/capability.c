/* SPDX-License-Identifier: MIT */
/* What this kernel, with these rights, offers: tried out on a socket of its own. */
#include "../posix/posix.h"

#include <netinet/udp.h>
#include <stdio.h>

#include "linux.h"

/* What a trial came to: 0, or the errno, and what that means. */
typedef struct finding {
  uint32_t state;
  int code;
  const char *reason;
} finding;

/* A socket of either family, for what they have in common. */
static mctx__result any_socket(mctx__socket *opened) {
  const mctx__result result = mctx__socket_open(4, opened);
  return result.status == MCTX_OK ? result : mctx__socket_open(6, opened);
}

static int option_try(mctx__socket socket, int level, int name, const void *value, socklen_t length) {
  return setsockopt(mctx__descriptor(socket), level, name, value, length) == 0 ? 0 : errno;
}

static uint32_t state_of(int code) {
  switch (code) {
    case 0:
      return MCTX_CAPABILITY_AVAILABLE;
    case EPERM:
    case EACCES:
      return MCTX_CAPABILITY_NEEDS_PRIVILEGE;
    case ENOPROTOOPT:
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
      return MCTX_CAPABILITY_ABSENT;
    default:
      return MCTX_CAPABILITY_REFUSED;
  }
}

/* Whether any interface has an address of the family; true where that cannot be found out. */
static bool has_address(uint32_t family) {
  mctx__interfaces all;
  bool found = false;
  if (mctx__interfaces_load(&all).status != MCTX_OK) return true;
  for (uint32_t i = 0; i < all.address_count && !found; i++) {
    found = all.addresses[i].family == family;
  }
  mctx__interfaces_free(&all);
  return found;
}

static finding probe_family(uint32_t family) {
  mctx__socket socket;
  const mctx__result result = mctx__socket_open(family, &socket);
  if (result.status != MCTX_OK) {
    const uint32_t state = state_of(result.os_code);
    return (finding){state == MCTX_CAPABILITY_ABSENT ? state : MCTX_CAPABILITY_REFUSED, result.os_code,
                     "The system opens no socket of this family."};
  }
  mctx__socket_close(socket);
  if (!has_address(family)) {
    return (finding){MCTX_CAPABILITY_REFUSED, 0,
                     "Sockets open, but no interface of this host has an address of this family."};
  }
  return (finding){MCTX_CAPABILITY_AVAILABLE, 0, "Sockets of this family open."};
}

static finding probe_batch_send(mctx__socket socket) {
  struct mmsghdr none;
  const int code = sendmmsg(mctx__descriptor(socket), &none, 0, 0) == 0 ? 0 : errno;
  if (code == 0) return (finding){MCTX_CAPABILITY_AVAILABLE, 0, "The kernel has sendmmsg."};
  return (finding){code == ENOSYS ? MCTX_CAPABILITY_ABSENT : MCTX_CAPABILITY_REFUSED, code,
                   "The system does not let this process call sendmmsg."};
}

static finding probe_error_queue(mctx__socket socket) {
  const int on = 1;
  int code = option_try(socket, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
  if (code == ENOPROTOOPT) code = option_try(socket, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on);
  return (finding){state_of(code), code,
                   code == 0 ? "The kernel reports what a device queue refuses (IP_RECVERR, IPV6_RECVERR)."
                             : "The kernel does not take IP_RECVERR or IPV6_RECVERR."};
}

static finding probe_isolated(mctx__socket either) {
  const int off = 0;
  mctx__socket v6;
  int code = option_try(either, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off);
  if (code != 0 && code != ENOPROTOOPT) {
    return (finding){state_of(code), code, "The kernel does not take IP_MULTICAST_ALL."};
  }
  if (mctx__socket_open(6, &v6).status != MCTX_OK) {
    return (finding){MCTX_CAPABILITY_AVAILABLE, 0, "The kernel has IP_MULTICAST_ALL."};
  }
  code = option_try(v6, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off, sizeof off);
  mctx__socket_close(v6);
  return (finding){state_of(code), code,
                   code == 0 ? "The kernel has IP_MULTICAST_ALL and IPV6_MULTICAST_ALL."
                             : "IPv6 wants a kernel with IPV6_MULTICAST_ALL, of Linux 4.20 or later."};
}

static finding probe_bind_device(mctx__socket socket) {
  static const char loopback[] = "lo";
  const int code = option_try(socket, SOL_SOCKET, SO_BINDTODEVICE, loopback, sizeof loopback - 1);
  return (finding){state_of(code), code,
                   code == 0 ? "The kernel lets this process bind to a device (SO_BINDTODEVICE)."
                             : "Binding to a device wants CAP_NET_RAW before Linux 5.7 (SO_BINDTODEVICE)."};
}

/* What one option with a number tells. */
typedef struct numbered_option {
  int level;
  int name;
  int value;
  const char *taken;
  const char *refused;
} numbered_option;

static const numbered_option numbered_options[] = {
    [MCTX_CAPABILITY_MARK] = {SOL_SOCKET, SO_MARK, 1, "This process may mark sockets (SO_MARK).",
                              "Marking sockets wants CAP_NET_ADMIN or CAP_NET_RAW (SO_MARK)."},
    [MCTX_CAPABILITY_SEND_BUFFER_FORCE] = {SOL_SOCKET, SO_SNDBUFFORCE, 65536,
                                           "This process may exceed net.core.wmem_max (SO_SNDBUFFORCE).",
                                           "Exceeding net.core.wmem_max wants CAP_NET_ADMIN (SO_SNDBUFFORCE)."},
    [MCTX_CAPABILITY_RECEIVE_BUFFER_FORCE] =
        {SOL_SOCKET, SO_RCVBUFFORCE, 65536, "This process may exceed net.core.rmem_max (SO_RCVBUFFORCE).",
         "Exceeding net.core.rmem_max wants CAP_NET_ADMIN (SO_RCVBUFFORCE)."},
    [MCTX_CAPABILITY_COALESCING] = {IPPROTO_UDP, UDP_GRO, 1, "The kernel coalesces datagrams (UDP_GRO).",
                                    "Coalescing wants a kernel with UDP_GRO, of Linux 5.0 or later."},
    [MCTX_CAPABILITY_SEGMENTATION] = {IPPROTO_UDP, UDP_SEGMENT, 1000,
                                      "The kernel cuts superpackets into datagrams (UDP_SEGMENT).",
                                      "Superpackets want a kernel with UDP_SEGMENT, of Linux 4.18 or later."},
    [MCTX_CAPABILITY_PACING] = {SOL_SOCKET, SO_MAX_PACING_RATE, 1000000,
                                "The kernel takes a rate, which queues of the kind `fq` keep to "
                                "(SO_MAX_PACING_RATE).",
                                "The kernel does not take SO_MAX_PACING_RATE."},
};

static finding probe_numbered_option(mctx__socket socket, uint32_t id) {
  const numbered_option *option = &numbered_options[id];
  const int code = option_try(socket, option->level, option->name, &option->value, sizeof option->value);
  return (finding){state_of(code), code, code == 0 ? option->taken : option->refused};
}

/* It joins nothing, and the port is anyone. */
static finding probe_group_binding(mctx__socket either) {
  static const mctx_address groups[] = {{.family = 4, .bytes = {233, 252, 0, 1}},
                                        {.family = 6, .bytes = {0xff, 0x0e, [15] = 1}}};
  mctx__result result = mctx__socket_bind(either, &groups[0]);
  if (result.status == MCTX_ERR_FAMILY_UNSUPPORTED) result = mctx__socket_bind(either, &groups[1]);
  if (result.status == MCTX_OK) {
    return (finding){MCTX_CAPABILITY_AVAILABLE, 0, "The kernel binds sockets to groups."};
  }
  return (finding){MCTX_CAPABILITY_REFUSED, result.os_code,
                   "The system does not let this process bind a socket to a group."};
}

static finding probe_interface_changes(void) {
  mctx__watch watch;
  const mctx__result result = mctx__watch_open(&watch);
  if (result.status == MCTX_OK) {
    mctx__watch_close(watch);
    return (finding){MCTX_CAPABILITY_AVAILABLE, 0,
                     "The kernel announces changes of the interfaces (rtnetlink)."};
  }
  return (finding){result.status == MCTX_ERR_UNSUPPORTED ? MCTX_CAPABILITY_ABSENT : MCTX_CAPABILITY_REFUSED,
                   result.os_code, "The system does not let this process listen to rtnetlink."};
}

static finding probe_fork_detection(void) {
  if (mctx__fork_page() != NULL) {
    return (finding){MCTX_CAPABILITY_AVAILABLE, 0,
                     "The kernel wipes a page in forked children (MADV_WIPEONFORK)."};
  }
  return (finding){MCTX_CAPABILITY_ABSENT, 0,
                   "Wiping a page in forked children wants Linux 4.14 (MADV_WIPEONFORK)."};
}

static finding probe(uint32_t id, mctx__socket socket) {
  switch (id) {
    case MCTX_CAPABILITY_BATCH_SEND:
      return probe_batch_send(socket);
    case MCTX_CAPABILITY_ERROR_QUEUE:
      return probe_error_queue(socket);
    case MCTX_CAPABILITY_ISOLATED_SENDER:
      return probe_isolated(socket);
    case MCTX_CAPABILITY_BIND_DEVICE:
      return probe_bind_device(socket);
    case MCTX_CAPABILITY_GROUP_BINDING:
      return probe_group_binding(socket);
    case MCTX_CAPABILITY_MARK:
    case MCTX_CAPABILITY_SEND_BUFFER_FORCE:
    case MCTX_CAPABILITY_RECEIVE_BUFFER_FORCE:
    case MCTX_CAPABILITY_COALESCING:
    case MCTX_CAPABILITY_SEGMENTATION:
    case MCTX_CAPABILITY_PACING:
      return probe_numbered_option(socket, id);
    default:
      return (finding){MCTX_CAPABILITY_ABSENT, 0, "The network is the system's own."};
  }
}

static finding probe_on_a_socket(uint32_t id) {
  mctx__socket socket;
  const mctx__result opened = any_socket(&socket);
  if (opened.status != MCTX_OK) {
    return (finding){MCTX_CAPABILITY_REFUSED, opened.os_code, "No socket could be opened to try it on."};
  }
  const finding found = probe(id, socket);
  mctx__socket_close(socket);
  return found;
}

static finding find(uint32_t id) {
  switch (id) {
    case MCTX_CAPABILITY_IPV4:
      return probe_family(4);
    case MCTX_CAPABILITY_IPV6:
      return probe_family(6);
    case MCTX_CAPABILITY_FORK_DETECTION:
      return probe_fork_detection();
    case MCTX_CAPABILITY_INTERFACE_CHANGES:
      return probe_interface_changes();
    default:
      return probe_on_a_socket(id);
  }
}

void mctx__capability_probe(uint32_t id, mctx_capability_info *info) {
  const finding found = find(id);
  info->state = found.state;
  info->os_code = found.code;
  (void)snprintf(info->reason, sizeof info->reason, "%s", found.reason);
}
