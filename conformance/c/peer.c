/* SPDX-License-Identifier: MIT */
/* The runner's own plain sockets: what was sent is judged by what arrives there. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runner.h"

#define ARRIVAL_MS 5000
#define SILENCE_MS 30

typedef union socket_address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} socket_address;

static socklen_t to_native(const mctx_address *from, socket_address *to) {
  memset(to, 0, sizeof *to);
  if (from->family == 4) {
    to->v4.sin_family = AF_INET;
    to->v4.sin_port = htons(from->port);
    memcpy(&to->v4.sin_addr, from->bytes, 4);
    return sizeof to->v4;
  }
  to->v6.sin6_family = AF_INET6;
  to->v6.sin6_port = htons(from->port);
  to->v6.sin6_scope_id = from->scope_id;
  memcpy(&to->v6.sin6_addr, from->bytes, 16);
  return sizeof to->v6;
}

static mctx_address from_native(const socket_address *from) {
  mctx_address to = {0};
  if (from->any.sa_family == AF_INET) {
    to.family = 4;
    to.port = ntohs(from->v4.sin_port);
    memcpy(to.bytes, &from->v4.sin_addr, 4);
  } else if (from->any.sa_family == AF_INET6) {
    to.family = 6;
    to.port = ntohs(from->v6.sin6_port);
    to.scope_id = from->v6.sin6_scope_id;
    memcpy(to.bytes, &from->v6.sin6_addr, 16);
  }
  return to;
}

static int descriptor(const peer *p) {
  return (int)p->native.value;
}

static bool set_option(int fd, int level, int name, int number) {
  return setsockopt(fd, level, name, &number, sizeof number) == 0;
}

/* ---- loopback ---- */

uint32_t loopback_index(void) {
  return sim_available() ? 1 : if_nametoindex(loopback_name());
}

const char *loopback_name(void) {
  if (sim_available() || if_nametoindex("lo") != 0) return "lo";
  return "lo0";
}

static bool join(int fd, const mctx_address *group) {
  socket_address native;
  to_native(group, &native);
  if (group->family == 4) {
    struct ip_mreq request = {.imr_multiaddr = native.v4.sin_addr, .imr_interface = {htonl(INADDR_LOOPBACK)}};
    return setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request) == 0;
  }
  struct ipv6_mreq request = {.ipv6mr_multiaddr = native.v6.sin6_addr, .ipv6mr_interface = loopback_index()};
  return setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof request) == 0;
}

/* A receiver of one group on the loopback interface; the port is chosen if it is 0. */
static int receiver_open(mctx_address group, uint16_t *port) {
  if (group.family == 6) group.scope_id = loopback_index();
  int fd = socket(group.family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
  if (fd < 0) return -1;
  socket_address native;
  socklen_t length = to_native(&group, &native);
  bool ready = group.family == 4
                   ? set_option(fd, IPPROTO_IP, IP_RECVTTL, 1) && set_option(fd, IPPROTO_IP, IP_RECVTOS, 1)
                   : set_option(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) &&
                         set_option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
  ready = ready && set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
          set_option(fd, SOL_SOCKET, SO_RCVBUF, 4 << 20) && bind(fd, &native.any, length) == 0 &&
          join(fd, &group) && getsockname(fd, &native.any, &length) == 0;
  if (!ready) {
    close(fd);
    return -1;
  }
  *port = from_native(&native).port;
  return fd;
}

static bool readable(int fd, int timeout_ms) {
  struct pollfd one = {.fd = fd, .events = POLLIN};
  return poll(&one, 1, timeout_ms) == 1;
}

/* Whether multicast of a family goes round on the loopback interface, tried with plain sockets. */
static bool loopback_works(const char *group_text) {
  mctx_address group = {0};
  if (mctx_address_parse(group_text, &group, NULL) != MCTX_OK) return false;
  int receiver = receiver_open(group, &group.port);
  if (receiver < 0) return false;
  int sender = socket(group.family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
  if (group.family == 6) group.scope_id = loopback_index();
  socket_address native;
  socklen_t length = to_native(&group, &native);
  struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
  bool sent = group.family == 4
                  ? setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof loopback) == 0
                  : set_option(sender, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)loopback_index());
  sent = sent && sendto(sender, "?", 1, 0, &native.any, length) == 1;
  bool arrived = sent && readable(receiver, 1000);
  close(sender);
  close(receiver);
  return arrived;
}

const char *capability_missing(const char *name) {
  static int loopback[2]; /* 0: not tried, 1: works, 2: does not */
  if (strcmp(name, "c") == 0) return NULL;
  if (strcmp(name, "network") == 0) return sim_available() ? "the network is simulated" : NULL;
  if (strncmp(name, "loopback_", 9) == 0) {
    if (sim_available()) return "the network is simulated";
    int v6 = strcmp(name, "loopback_ipv6") == 0;
    if (loopback[v6] == 0) loopback[v6] = loopback_works(v6 ? "ff11::6d:7472" : "239.255.109.116") ? 1 : 2;
    if (loopback[v6] == 1) return NULL;
    return v6 ? "IPv6 multicast does not go round on the loopback interface of this host"
              : "IPv4 multicast does not go round on the loopback interface of this host";
  }
  static mctx_capability_info info;
  for (uint32_t id = 0; mctx_capability_name(id) != NULL; id++) {
    if (strcmp(mctx_capability_name(id), name) != 0) continue;
    info = (mctx_capability_info){.size = sizeof info};
    if (mctx_capability(id, &info, NULL) != MCTX_OK) return "mctx_capability() failed";
    return info.state == MCTX_CAPABILITY_AVAILABLE ? NULL : info.reason;
  }
  return "no runner knows this capability";
}

uint64_t resources_held(void) {
  if (sim_available()) return sim_held();
  DIR *folder = opendir("/dev/fd");
  if (folder == NULL) return 0;
  uint64_t count = 0;
  while (readdir(folder) != NULL)
    count++;
  closedir(folder);
  return count;
}

/* ---- the table of peers ---- */

value *peer_add(call *c, mctx_os_handle native, bool simulated) {
  run *r = c->run;
  pthread_mutex_lock(&r->lock);
  unsigned number = r->peer_count;
  if (number < MAX_PEERS) r->peers[r->peer_count++] = (peer){native, simulated, true};
  pthread_mutex_unlock(&r->lock);
  if (number == MAX_PEERS) call_invalid(c, "too many sockets");
  char name[16];
  snprintf(name, sizeof name, "peer:%u", number + 1);
  return yyjson_mut_strcpy(c->doc, name);
}

peer *peer_find(call *c, const char *name) {
  unsigned long number = name != NULL && strncmp(name, "peer:", 5) == 0 ? strtoul(name + 5, NULL, 10) : 0;
  if (number != 0 && number <= c->run->peer_count) return &c->run->peers[number - 1];
  call_invalid(c, "not a socket of this case: %s", name ? name : "?");
  return NULL;
}

static void peer_close(peer *p) {
  if (!p->open) return;
  p->open = false;
  if (p->simulated) {
    sim_socket_close(&p->native);
  } else {
    close(descriptor(p));
  }
}

void peers_close(run *r) {
  for (unsigned i = 0; i < r->peer_count; i++)
    peer_close(&r->peers[i]);
}

static value *add_descriptor(call *c, int fd) {
  return peer_add(c, (mctx_os_handle){.value = fd, .type = MCTX_OS_DESCRIPTOR}, false);
}

static peer *arg_peer(call *c, const char *name) {
  return peer_find(c, arg_text(c, name));
}

/* ---- receiving ---- */

static void open_receiver(call *c) {
  mctx_address group = value_address(c, arg(c, "group"));
  if (c->invalid) return;
  uint16_t port = 0;
  group.port = (uint16_t)arg_u64(c, "port", 0);
  int fd = receiver_open(group, &port);
  if (fd < 0) {
    call_invalid(c, "no receiving socket: %s", strerror(errno));
    return;
  }
  result(c, "peer", add_descriptor(c, fd));
  result_int(c, "port", port);
}

static unsigned char arrived[65536];
static pthread_mutex_t arrived_lock = PTHREAD_MUTEX_INITIALIZER;

/* One datagram as JSON; NULL if none came. */
static value *receive_one(call *c, int fd) {
  socket_address source;
  unsigned char control[256];
  struct iovec part = {arrived, sizeof arrived};
  struct msghdr message = {.msg_name = &source,
                           .msg_namelen = sizeof source,
                           .msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof control};
  ssize_t length = readable(fd, ARRIVAL_MS) ? recvmsg(fd, &message, 0) : -1;
  if (length < 0) return NULL;
  mctx_address from = from_native(&source);
  value *datagram = yyjson_mut_obj(c->doc);
  yyjson_mut_obj_add_val(c->doc, datagram, "payload", make_payload(c->doc, arrived, (size_t)length));
  yyjson_mut_obj_add_val(c->doc, datagram, "source", make_address(c->doc, &from));
  for (struct cmsghdr *item = CMSG_FIRSTHDR(&message); item != NULL; item = CMSG_NXTHDR(&message, item)) {
    int number = 0;
    bool byte = item->cmsg_level == IPPROTO_IP && item->cmsg_type == IP_TOS;
    memcpy(&number, CMSG_DATA(item), byte ? 1 : sizeof number);
    if (item->cmsg_level == IPPROTO_IP ? item->cmsg_type == IP_TTL : item->cmsg_type == IPV6_HOPLIMIT) {
      yyjson_mut_obj_add_int(c->doc, datagram, "hop_limit", number);
    } else {
      yyjson_mut_obj_add_int(c->doc, datagram, "traffic_class", number & 0xff);
    }
  }
  return datagram;
}

static void receive(call *c) {
  peer *p = arg_peer(c, "peer");
  uint64_t wanted = arg_u64(c, "count", 1);
  value *datagrams = yyjson_mut_arr(c->doc);
  pthread_mutex_lock(&arrived_lock);
  for (uint64_t i = 0; !c->invalid && i < wanted; i++) {
    value *one = receive_one(c, descriptor(p));
    if (one == NULL) break;
    yyjson_mut_arr_append(datagrams, one);
  }
  pthread_mutex_unlock(&arrived_lock);
  result(c, "datagrams", datagrams);
}

/* How many came, and how many of them, from the first on, were what a sequence of that length is. */
static void receive_sequence(call *c) {
  peer *p = arg_peer(c, "peer");
  size_t count = (size_t)arg_u64(c, "count", 0);
  size_t expected = 0;
  mctx_slice *sequence = value_payloads(c, c->args, &expected);
  uint64_t received = 0;
  uint64_t in_sequence = 0;
  pthread_mutex_lock(&arrived_lock);
  while (!c->invalid && received < count && readable(descriptor(p), ARRIVAL_MS)) {
    ssize_t length = recv(descriptor(p), arrived, sizeof arrived, 0);
    if (length < 0) break;
    bool next = received == in_sequence && in_sequence < expected &&
                (uint64_t)length == sequence[in_sequence].length &&
                memcmp(arrived, sequence[in_sequence].data, (size_t)length) == 0;
    if (next) in_sequence++;
    received++;
  }
  pthread_mutex_unlock(&arrived_lock);
  payloads_free(sequence, expected);
  result_u64(c, "received", received);
  result_u64(c, "in_sequence", in_sequence);
}

static void receive_nothing(call *c) {
  peer *p = arg_peer(c, "peer");
  if (!c->invalid) result(c, "empty", yyjson_mut_bool(c->doc, !readable(descriptor(p), SILENCE_MS)));
}

/* ---- sockets to adopt, and sockets that were taken out ---- */

static void open_simulated(call *c, uint32_t family, const mctx_address *local) {
  mctx_os_handle native = {0};
  if (!sim_socket(family, local->family == 0 ? NULL : local, &native)) {
    call_invalid(c, "no simulated socket");
    return;
  }
  result(c, "socket", peer_add(c, native, true));
  result_int(c, "source_port", local->port);
}

static void open_socket(call *c) {
  static const char *const types[] = {"udp", "tcp", NULL};
  uint32_t family = arg_name(c, "family", family_names, 4);
  mctx_address local = value_address(c, arg(c, "local"));
  mctx_address destination = value_address(c, arg(c, "destination"));
  bool tcp = arg_name(c, "type", types, 0) == 1;
  if (c->invalid) return;
  if (sim_available()) {
    open_simulated(c, family, &local);
    return;
  }
  int fd = socket(family == 4 ? AF_INET : AF_INET6, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
  socket_address native;
  socklen_t length = to_native(&local, &native);
  bool ready = fd >= 0 && (local.family == 0 || bind(fd, &native.any, length) == 0);
  length = to_native(&destination, &native);
  ready = ready && (destination.family == 0 || connect(fd, &native.any, length) == 0);
  length = sizeof native;
  ready = ready && getsockname(fd, &native.any, &length) == 0;
  if (!ready) {
    if (fd >= 0) close(fd);
    call_invalid(c, "no socket: %s", strerror(errno));
    return;
  }
  result(c, "socket", add_descriptor(c, fd));
  result_int(c, "source_port", from_native(&native).port);
}

/* A descriptor that is no socket. */
static void open_pipe(call *c) {
  int ends[2];
  if (pipe(ends) != 0) {
    call_invalid(c, "no pipe: %s", strerror(errno));
    return;
  }
  close(ends[1]);
  result(c, "socket", add_descriptor(c, ends[0]));
}

static int get_option(int fd, int level, int name) {
  int number = -1;
  socklen_t length = sizeof number;
  return getsockopt(fd, level, name, &number, &length) == 0 ? number : -1;
}

/* All that a failed call might have changed. */
static void socket_state(call *c) {
  peer *p = arg_peer(c, "socket");
  if (c->invalid) return;
  if (p->simulated) {
    result(c, "open", yyjson_mut_bool(c->doc, p->open));
    result(c, "fingerprint", make_i64(c->doc, sim_socket_hash(&p->native)));
    return;
  }
  int fd = descriptor(p);
  int flags = fcntl(fd, F_GETFL);
  socket_address local = {0};
  socklen_t length = sizeof local;
  text state = {0};
  if (getsockname(fd, &local.any, &length) == 0) {
    bool v4 = local.any.sa_family == AF_INET;
    int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
    text_print(&state, "%d %d %d %d %d %d %d %d %d", flags & O_NONBLOCK, fcntl(fd, F_GETFD),
               get_option(fd, SOL_SOCKET, SO_REUSEADDR), get_option(fd, SOL_SOCKET, SO_REUSEPORT),
               get_option(fd, SOL_SOCKET, SO_SNDBUF),
               get_option(fd, level, v4 ? IP_MULTICAST_TTL : IPV6_MULTICAST_HOPS),
               get_option(fd, level, v4 ? IP_MULTICAST_LOOP : IPV6_MULTICAST_LOOP),
               get_option(fd, level, v4 ? IP_MULTICAST_IF : IPV6_MULTICAST_IF),
               get_option(fd, level, v4 ? IP_TOS : IPV6_TCLASS));
    mctx_address address = from_native(&local);
    value *shown = make_address(c->doc, &address);
    text_add(&state, " ", 1);
    canonical(shown, &state);
    length = sizeof local;
    text_print(&state, " %d", getpeername(fd, &local.any, &length) == 0);
  }
  result(c, "open", yyjson_mut_bool(c->doc, flags != -1));
  result(c, "nonblocking", yyjson_mut_bool(c->doc, flags != -1 && (flags & O_NONBLOCK) != 0));
  result_text(c, "fingerprint", text_get(&state));
  text_free(&state);
}

/* What the system says of a socket, asked with plain calls; -1 where it does not tell. */
#ifdef __linux__
/* Bytes a second; the largest number for as fast as may be. */
static uint64_t get_pacing_rate(int fd) {
  uint64_t rate = 0;
  socklen_t length = sizeof rate;
  getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &length);
  return rate;
}
#endif

static void socket_options(call *c) {
  peer *p = arg_peer(c, "socket");
  if (c->invalid) return;
  int fd = descriptor(p);
  socket_address local = {0};
  socklen_t length = sizeof local;
  getsockname(fd, &local.any, &length);
  bool v4 = local.any.sa_family == AF_INET;
  int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
  result_int(c, "hop_limit", get_option(fd, level, v4 ? IP_MULTICAST_TTL : IPV6_MULTICAST_HOPS));
  result_int(c, "loopback", get_option(fd, level, v4 ? IP_MULTICAST_LOOP : IPV6_MULTICAST_LOOP));
  result_int(c, "traffic_class", get_option(fd, level, v4 ? IP_TOS : IPV6_TCLASS));
  result_int(c, "reuse_address", get_option(fd, SOL_SOCKET, SO_REUSEADDR));
#ifdef __linux__
  result_int(c, "priority", get_option(fd, SOL_SOCKET, SO_PRIORITY));
  result_int(c, "mark", get_option(fd, SOL_SOCKET, SO_MARK));
  result_int(c, "error_queue", get_option(fd, level, v4 ? IP_RECVERR : IPV6_RECVERR));
  result_int(c, "path_mtu_discovery", get_option(fd, level, v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER));
  char device[IFNAMSIZ] = "";
  length = sizeof device;
  getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, &length);
  result_text(c, "device", device);
  result_u64(c, "pacing_rate", get_pacing_rate(fd));
#endif
}

static void socket_send(call *c) {
  peer *p = arg_peer(c, "socket");
  mctx_address destination = value_address(c, arg(c, "destination"));
  if (c->invalid) return;
  mctx_slice payload = value_payload(c, arg(c, "payload"));
  socket_address native;
  socklen_t length = to_native(&destination, &native);
  ssize_t sent = sendto(descriptor(p), payload.data, (size_t)payload.length, 0,
                        destination.family == 0 ? NULL : &native.any, destination.family == 0 ? 0 : length);
  result_int(c, "sent", sent);
  payloads_free(&payload, 0);
}

static void close_peer(call *c) {
  peer *p = arg_peer(c, yyjson_mut_obj_get(c->args, "peer") ? "peer" : "socket");
  if (p != NULL) peer_close(p);
}

const operation peer_operations[] = {{"peer_open", open_receiver},
                                     {"peer_receive", receive},
                                     {"peer_receive_sequence", receive_sequence},
                                     {"peer_empty", receive_nothing},
                                     {"peer_close", close_peer},
                                     {"socket_open", open_socket},
                                     {"pipe_open", open_pipe},
                                     {"socket_state", socket_state},
                                     {"socket_options", socket_options},
                                     {"socket_send", socket_send},
                                     {"socket_close", close_peer},
                                     {NULL, NULL}};
