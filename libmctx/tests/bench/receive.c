/* SPDX-License-Identifier: MIT */
/*
 * Receives datagrams in several ways from the same sockets, to be timed or to be counted by a tool:
 *
 *   receive GROUP INTERFACE alone|threads time MILLISECONDS SUBJECT...
 *   receive GROUP INTERFACE alone|threads count WAY CALLS SUBJECT
 *
 * A subject is a subscription, and what is sent to it before each turn:
 *
 *   GROUPS,group|wildcard|peer,METADATA,coalescing|plain,lone|first|coalesced,SIZES,DATAGRAMS
 *
 * GROUPS from GROUP on, joined on INTERFACE; METADATA as a number; `lone` datagrams go to the groups in turns,
 * `first` ones to the first group, `coalesced` ones as superpackets to the groups in turns. Of DATAGRAMS there
 * are as many in a turn as the sockets have room for, of SIZES, "64" or "62+94", which repeat. A `peer`
 * receives one group with the other library that the shared object named by PEER leads to.
 *
 * `time` measures all ways of all subjects in turns: fills the sockets with datagrams, then takes the time of
 * receiving them all, after having done so once without. It prints the positions of the subjects and the names
 * of the ways, then a line of nanoseconds per datagram for each round. `count` makes the calls of one way, on
 * sockets filled before, and prints nothing. With `threads` a second thread sleeps. Ends with 1 and a reason if
 * a datagram was lost.
 *
 * The plain calls are made on the subscription's own descriptors, so all options are the same, and ask for what
 * the library asks for. They look at nothing of what they get: less than that no program can do.
 */
#include <errno.h>
#include <mctx.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datagrams.h"
#include "group.h"
#include "peer.h"
#include "turns.h"

enum {
  FIRST_PORT = 5000,
  RAW_FLAGS = MSG_DONTWAIT | MSG_TRUNC,
  MESSAGE_MAX = 65536,
  CONTROL_SIZE = 256,
  BATCH = 64,       /* messages of a recvmmsg, events of an epoll_wait */
  TURN = 16,        /* datagrams from one of several sockets before the others are asked for */
  DATAGRAMS = 4096, /* records of a batch */
  DESCRIPTORS = 65536,
  SEGMENTS = 64 /* of a superpacket: as many as every system takes */
};

enum traffic { LONE, FIRST, COALESCED };

typedef struct bench bench;

typedef struct subject {
  bench *all;
  uint32_t groups;
  bool is_wildcard;
  bool is_peer;
  void *peer;
  uint32_t metadata;
  bool coalesces;
  enum traffic traffic;
  uint32_t *sizes;    /* of the datagrams of a turn */
  uint32_t largest;   /* of them */
  uint32_t datagrams; /* of a turn */
  uint64_t bytes;     /* of them all */
  uint16_t port;
  mctx_subscription subscription;
  int sockets[DESCRIPTORS];
  uint32_t socket_count;
  int epoll; /* for the plain calls, if there are several sockets */
  /* what the plain calls ask for */
  bool wants_name;
  bool wants_control;
} subject;

struct bench {
  mctx_error error;
  mctx_context context;
  mctx_address group; /* the first */
  const char *group_text;
  const char *interface;
  int sender;
  unsigned char *payload;
  unsigned char *arena; /* room for a batch of whole messages */
  mctx_datagram *datagrams;
  mctx_message *messages;
  struct mmsghdr *headers;
  subject *subjects;
  uint32_t subject_count;
};

/* ---- what the plain calls have in common ---- */

typedef struct room {
  struct sockaddr_in6 name;
  _Alignas(struct cmsghdr) unsigned char control[CONTROL_SIZE];
  struct iovec vector;
} room;

static room rooms[BATCH];

static void prepare(const subject *own, struct msghdr *header, room *into, void *data, size_t length) {
  into->vector = (struct iovec){data, length};
  *header = (struct msghdr){.msg_iov = &into->vector, .msg_iovlen = 1};
  if (own->wants_name) {
    header->msg_name = &into->name;
    header->msg_namelen = sizeof into->name;
  }
  if (own->wants_control) {
    header->msg_control = into->control;
    header->msg_controllen = sizeof into->control;
  }
}

/* One receive by the cheapest call that tells what is asked for; the bytes, or less than 0. */
static inline ssize_t receive_plain(const subject *own, int descriptor, void *data, size_t length) {
  struct msghdr header;
  room into;
  if (!own->wants_control) {
    socklen_t name_length = sizeof into.name;
    return own->wants_name
               ? recvfrom(descriptor, data, length, RAW_FLAGS, (struct sockaddr *)&into.name, &name_length)
               : recv(descriptor, data, length, RAW_FLAGS);
  }
  prepare(own, &header, &into, data, length);
  return recvmsg(descriptor, &header, RAW_FLAGS);
}

/* ---- the ways: each receives the datagrams of a turn, and returns how many there were; the plain ones, which
 * look at nothing that would tell, count bytes ---- */

static inline uint32_t all_if(const subject *own, uint64_t bytes) {
  return bytes == own->bytes ? own->datagrams : 0;
}

/* Into one and the same buffer, or one behind the other. */
static inline uint32_t from_one(bench *all, subject *own, bool keeps) {
  uint64_t bytes = 0;
  size_t used = 0;
  while (bytes < own->bytes) {
    ssize_t got = receive_plain(own, own->sockets[0], all->arena + used, MESSAGE_MAX);
    if (got < 0) break;
    if (keeps) used += (size_t)got;
    bytes += (uint64_t)got;
  }
  return all_if(own, bytes);
}

/* The ready sockets share a turn. */
static inline uint32_t from_many(bench *all, subject *own, bool keeps) {
  uint64_t bytes = 0;
  size_t used = 0;
  while (bytes < own->bytes) {
    struct epoll_event events[BATCH];
    int ready = epoll_wait(own->epoll, events, BATCH, 0);
    if (ready <= 0) break;
    int turn = ready < TURN ? TURN / ready : 1;
    for (int i = 0; i < ready && bytes < own->bytes; i++) {
      for (int k = 0; k < turn && bytes < own->bytes; k++) {
        ssize_t got = receive_plain(own, events[i].data.fd, all->arena + used, MESSAGE_MAX);
        if (got < 0) break;
        if (keeps) used += (size_t)got;
        bytes += (uint64_t)got;
      }
    }
  }
  return all_if(own, bytes);
}

static uint32_t raw_recv(bench *all, subject *own) {
  return own->socket_count == 1 ? from_one(all, own, false) : from_many(all, own, false);
}

static uint32_t raw_keep(bench *all, subject *own) {
  return own->socket_count == 1 ? from_one(all, own, true) : from_many(all, own, true);
}

/* What a control message tells goes where it may be wanted, all in the same way. */
static void look_at(struct msghdr *header, unsigned char told[8][16]) {
  uint32_t at = 0;
  for (struct cmsghdr *each = CMSG_FIRSTHDR(header); each != NULL && at < 8; each = CMSG_NXTHDR(header, each)) {
    const size_t length = each->cmsg_len - CMSG_LEN(0);
    memcpy(told[at++], CMSG_DATA(each), length < 16 ? length : 16);
  }
}

/* As a program that wants to know what it asks for. */
static uint32_t raw_look(bench *all, subject *own) {
  static unsigned char told[8][16];
  uint64_t bytes = 0;
  while (bytes < own->bytes) {
    struct msghdr header;
    room into;
    prepare(own, &header, &into, all->arena, MESSAGE_MAX);
    ssize_t got = recvmsg(own->sockets[0], &header, RAW_FLAGS);
    if (got < 0) break;
    look_at(&header, told);
    bytes += (uint64_t)got;
  }
  return all_if(own, bytes);
}

/* The segment size that a message tells, or its length. */
static size_t segment_of(struct msghdr *header, size_t length) {
  for (struct cmsghdr *each = CMSG_FIRSTHDR(header); each != NULL; each = CMSG_NXTHDR(header, each)) {
    int size;
    if (each->cmsg_level != IPPROTO_UDP || each->cmsg_type != UDP_GRO) continue;
    memcpy(&size, CMSG_DATA(each), sizeof size);
    return (size_t)size;
  }
  return length;
}

/* As a program that wants to know where each datagram is: keeps all, looks, and writes down a record of each.
 */
static uint32_t raw_told(bench *all, subject *own) {
  static unsigned char told[8][16];
  size_t used = 0;
  uint32_t count = 0;
  for (uint32_t position = 0; used < own->bytes; position++) {
    struct msghdr header;
    room into;
    prepare(own, &header, &into, all->arena + used, MESSAGE_MAX);
    ssize_t got = recvmsg(own->sockets[0], &header, RAW_FLAGS);
    if (got < 0) break;
    const size_t end = used + (size_t)got;
    const size_t size = segment_of(&header, (size_t)got);
    if (own->metadata != 0) look_at(&header, told);
    for (; used < end && count < DATAGRAMS; used += size, count++)
      all->datagrams[count] = (mctx_datagram){.offset = (uint32_t)used,
                                              .length = (uint32_t)(end - used < size ? end - used : size),
                                              .message = position};
    used = end;
  }
  return count;
}

/* Keeps a batch too: each message has its own buffer, of just the size that is needed. */
static uint32_t raw_recvmmsg(bench *all, subject *own) {
  const size_t room_size = own->traffic == COALESCED ? MESSAGE_MAX : own->largest;
  uint64_t bytes = 0;
  while (bytes < own->bytes) {
    for (uint32_t i = 0; i < BATCH; i++)
      prepare(own, &all->headers[i].msg_hdr, &rooms[i], all->arena + i * room_size, room_size);
    int got = recvmmsg(own->sockets[0], all->headers, BATCH, RAW_FLAGS, NULL);
    if (got <= 0) break;
    for (int i = 0; i < got; i++)
      bytes += all->headers[i].msg_len;
  }
  return all_if(own, bytes);
}

static inline uint32_t receive_each(bench *all, subject *own, size_t capacity) {
  mctx_message message;
  const bool asks = own->metadata != 0;
  uint32_t count = 0;
  size_t length;
  while (count < own->datagrams &&
         mctx_recv(own->subscription, all->arena, capacity, 0, 0, &length, asks ? &message : NULL,
                   asks ? sizeof message : 0, &all->error) == 0)
    count++;
  return count;
}

static uint32_t library_recv(bench *all, subject *own) {
  return receive_each(all, own, MESSAGE_MAX);
}

/* As programs mostly have it: the buffer is no larger than the datagrams are. */
static uint32_t library_recv_small(bench *all, subject *own) {
  return receive_each(all, own, own->largest);
}

static uint32_t library_batch(bench *all, subject *own) {
  const bool asks = own->metadata != 0;
  mctx_receive_batch batch = {.size = sizeof batch,
                              .message_stride = asks ? sizeof(mctx_message) : 0,
                              .arena = all->arena,
                              .arena_size = (uint64_t)BATCH * MESSAGE_MAX,
                              .datagrams = all->datagrams,
                              .datagram_capacity = DATAGRAMS,
                              .messages = asks ? all->messages : NULL,
                              .message_capacity = asks ? DATAGRAMS : 0};
  uint32_t count = 0;
  while (count < own->datagrams && mctx_recv_batch(own->subscription, &batch, 0, 0, &all->error) == MCTX_OK)
    count += (uint32_t)batch.datagram_count;
  return count;
}

static uint32_t peer_recv(bench *all, subject *own) {
  (void)all;
  return peer_receive(own->peer, own->datagrams);
}

static uint32_t peer_batch(bench *all, subject *own) {
  (void)all;
  return peer_receive_batch(own->peer, own->datagrams);
}

typedef struct way {
  const char *name;
  uint32_t (*run)(bench *all, subject *own);
} way;

static const way ways[] = {{"raw recvmsg", raw_recv},
                           {"raw recvmsg, kept", raw_keep},
                           {"raw recvmsg, looked at", raw_look},
                           {"raw recvmsg, told", raw_told},
                           {"mctx_recv", library_recv},
                           {"mctx_recv, a small buffer", library_recv_small},
                           {"raw recvmmsg", raw_recvmmsg},
                           {"mctx_recv_batch", library_batch},
                           {"mcrx-core try_recv", peer_recv},
                           {"mcrx-core try_recv_batch_into", peer_batch}};

enum { WAYS = sizeof ways / sizeof ways[0] };

static bool applies(const way *chosen, const subject *own) {
  if (own->is_peer || chosen->run == peer_recv || chosen->run == peer_batch)
    return own->is_peer && (chosen->run == raw_recv || chosen->run == peer_recv || chosen->run == peer_batch);
  if (chosen->run == raw_recvmmsg) return own->socket_count == 1;
  if (chosen->run == raw_look) return own->socket_count == 1 && own->wants_control;
  if (chosen->run == raw_told) return own->socket_count == 1 && own->coalesces;
  if (chosen->run == library_recv_small) return own->coalesces;
  return true;
}

/* ---- subjects ---- */

static int fail(const char *what, const mctx_error *error) {
  fprintf(stderr, "%s: %s (%s)\n", what, error->message, error->hint);
  return 1;
}

static int read_subject(const char *text, subject *own) {
  static char sizes[8192];
  char binding[16];
  char coalescing[16];
  char traffic[16];
  if (sscanf(text, "%u,%15[a-z],%u,%15[a-z],%15[a-z],%8191[0-9+],%u", &own->groups, binding, &own->metadata,
             coalescing, traffic, sizes, &own->datagrams) != 7)
    return 2;
  own->is_wildcard = strcmp(binding, "wildcard") == 0;
  own->is_peer = strcmp(binding, "peer") == 0;
  own->coalesces = strcmp(coalescing, "coalescing") == 0;
  own->traffic = strcmp(traffic, "coalesced") == 0 ? COALESCED : strcmp(traffic, "first") == 0 ? FIRST : LONE;
  own->sizes = datagrams_sizes(sizes, own->datagrams);
  for (uint32_t i = 0; i < own->datagrams && own->sizes != NULL; i++)
    if (own->sizes[i] > own->largest) own->largest = own->sizes[i];
  return own->groups > 0 && own->sizes != NULL && own->largest <= MESSAGE_MAX / 2 ? 0 : 2;
}

static int subscribe(bench *all, subject *own) {
  mctx_subscription_options options;
  mctx_subscription_options_init(&options, sizeof options);
  mctx_membership *memberships = calloc(own->groups, sizeof *memberships);
  if (memberships == NULL) return 1;
  for (uint32_t i = 0; i < own->groups; i++) {
    memberships[i].group = group_at(&all->group, i);
    memberships[i].ingress.by = MCTX_INTERFACE_BY_NAME;
    memberships[i].ingress.name = all->interface;
  }
  options.port = own->port;
  options.coalescing = own->coalesces;
  options.binding = own->is_wildcard ? MCTX_BINDING_WILDCARD : MCTX_BINDING_GROUP;
  options.metadata = own->metadata;
  if (!own->is_wildcard) options.max_group_sockets = own->groups;
  options.memberships = memberships;
  options.membership_count = own->groups;
  options.membership_stride = sizeof *memberships;
  mctx_status status = mctx_subscription_open(all->context, &options, &own->subscription, &all->error);
  free(memberships);
  return status == MCTX_OK ? 0 : fail("cannot open a subscription", &all->error);
}

/* The subscription's sockets are the process's only ones on its port. */
static int find_sockets(subject *own) {
  own->epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int descriptor = 3; descriptor < DESCRIPTORS; descriptor++) {
    struct sockaddr_in6 local = {0};
    socklen_t length = sizeof local; /* the port stands where that of IPv4 stands */
    if (getsockname(descriptor, (struct sockaddr *)&local, &length) != 0 || ntohs(local.sin6_port) != own->port)
      continue;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
    if (own->epoll < 0 || epoll_ctl(own->epoll, EPOLL_CTL_ADD, descriptor, &event) != 0) return 1;
    own->sockets[own->socket_count++] = descriptor;
  }
  return own->socket_count > 0 ? 0 : 1;
}

/* Fewer datagrams, so that none is lost where the system grants small buffers: the kernel's own share of a
 * datagram is an estimate. */
static int fit(subject *own) {
  int granted = 0;
  socklen_t length = sizeof granted;
  if (getsockopt(own->sockets[0], SOL_SOCKET, SO_RCVBUF, &granted, &length) != 0) return 1;
  const uint32_t spread = own->traffic == FIRST ? 1 : own->socket_count;
  const uint32_t most = (uint32_t)granted / (2 * own->largest + 1024) * spread;
  if (own->datagrams > most) own->datagrams = most;
  for (uint32_t i = 0; i < own->datagrams; i++)
    own->bytes += own->sizes[i];
  return own->datagrams > 0 ? 0 : 1;
}

static int open_subject(bench *all, subject *own, uint32_t position) {
  own->port = (uint16_t)(FIRST_PORT + position);
  if (own->is_peer)
    own->peer = peer_open_receiver(all->group_text, own->port);
  else if (subscribe(all, own) != 0)
    return 1;
  if (find_sockets(own) != 0 || fit(own) != 0) return 1;
  /* Whoever isolates by himself needs the packet info. */
  const uint32_t wanted = own->metadata | (own->is_wildcard || own->is_peer ? MCTX_META_GROUP : 0);
  own->wants_name = (wanted & MCTX_META_SOURCE) != 0;
  own->wants_control = (wanted & ~(uint32_t)MCTX_META_SOURCE) != 0 || own->coalesces;
  return 0;
}

/* ---- sending ---- */

/* Sends a superpacket; a lone datagram is one too. */
static int send_superpacket(bench *all, const subject *own, uint32_t position, superpacket what) {
  struct sockaddr_storage to;
  const mctx_address group = group_at(&all->group, position);
  _Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
  const uint16_t size = (uint16_t)what.size;
  struct iovec vector = {all->payload, what.bytes};
  struct msghdr message = {.msg_name = &to,
                           .msg_namelen = group_native(&group, own->port, &to),
                           .msg_iov = &vector,
                           .msg_iovlen = 1};
  if (what.count > 1) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = IPPROTO_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(header), &size, sizeof size);
  }
  return sendmsg(all->sender, &message, 0) == (ssize_t)vector.iov_len ? 0 : 1;
}

/* Sends the datagrams of a turn. */
static int fill(bench *all, const subject *own) {
  uint32_t position = 0;
  for (uint32_t sent = 0; sent < own->datagrams;) {
    const uint32_t left = own->datagrams - sent;
    const superpacket next = datagrams_join(own->sizes + sent, own->traffic == COALESCED ? left : 1, SEGMENTS);
    if (send_superpacket(all, own, position, next) != 0) {
      fprintf(stderr, "cannot send: %s\n", strerror(errno));
      return 1;
    }
    sent += next.count;
    if (own->traffic != FIRST) position = (position + 1) % own->groups;
  }
  return 0;
}

/* ---- time and count ---- */

static int all_received(const way *chosen, const subject *own, uint32_t received, uint32_t sent) {
  if (received == sent) return 0;
  fprintf(stderr, "%s: %u datagrams of %u came, of up to %u bytes\n", chosen->name, (unsigned)received,
          (unsigned)sent, (unsigned)own->largest);
  return 1;
}

static int drain(bench *all, const way *chosen, subject *own, double *ns) {
  if (fill(all, own) != 0) return 1;
  const double start = turns_now_ns();
  const uint32_t received = chosen->run(all, own);
  *ns = (turns_now_ns() - start) / own->datagrams;
  return all_received(chosen, own, received, own->datagrams);
}

/* The first time brings code and memory back that the others have driven out of the caches. */
static int measure(const column *each, double *ns) {
  subject *own = each->subject;
  return drain(own->all, each->way, own, ns) != 0 || drain(own->all, each->way, own, ns) != 0;
}

static int time_ways(bench *all, uint32_t milliseconds) {
  column *columns = calloc((size_t)all->subject_count * WAYS, sizeof *columns);
  uint32_t count = 0;
  if (columns == NULL) return 1;
  for (uint32_t s = 0; s < all->subject_count; s++) {
    for (uint32_t k = 0; k < WAYS; k++) {
      if (!applies(&ways[k], &all->subjects[s])) continue;
      column *each = &columns[count++];
      *each = (column){.measure = measure, .way = &ways[k], .subject = &all->subjects[s]};
      snprintf(each->name, sizeof each->name, "%u %s", (unsigned)s, ways[k].name);
    }
  }
  const int status = turns_run(columns, count, milliseconds);
  free(columns);
  return status;
}

/* A call receives what a turn of the subject sends. */
static int count_way(bench *all, const char *name, uint32_t calls) {
  subject *own = &all->subjects[0];
  for (uint32_t k = 0; k < WAYS; k++) {
    if (strcmp(ways[k].name, name) != 0) continue;
    for (uint32_t i = 0; i < calls; i++)
      if (fill(all, own) != 0 || all_received(&ways[k], own, ways[k].run(all, own), own->datagrams) != 0)
        return 1;
    return 0;
  }
  fprintf(stderr, "no such way: %s\n", name);
  return 2;
}

static void *sleep_on(void *nothing) {
  pause();
  return nothing;
}

static uint32_t number(const char *text) {
  return (uint32_t)strtoul(text, NULL, 10);
}

static int make_room(bench *all) {
  struct rlimit limit;
  all->payload = calloc(1, MESSAGE_MAX);
  all->arena = calloc(BATCH, MESSAGE_MAX);
  all->datagrams = calloc(DATAGRAMS, sizeof *all->datagrams);
  all->messages = calloc(DATAGRAMS, sizeof *all->messages);
  all->headers = calloc(BATCH, sizeof *all->headers);
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
  limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
  return all->payload == NULL || all->arena == NULL || all->datagrams == NULL || all->messages == NULL ||
         all->headers == NULL;
}

static int open_all(bench *all, char **texts) {
  if (mctx_context_open(NULL, &all->context, &all->error) != MCTX_OK)
    return fail("cannot open a context", &all->error);
  all->sender = group_sender(&all->group, all->interface);
  if (all->sender < 0) return 1;
  for (uint32_t i = 0; i < all->subject_count; i++) {
    all->subjects[i].all = all;
    if (read_subject(texts[i], &all->subjects[i]) != 0) return 2;
    if (open_subject(all, &all->subjects[i], i) != 0) return 1;
  }
  return 0;
}

int main(int argc, char **argv) {
  bench all = {.error = MCTX_ERROR_INIT};
  pthread_t other;
  if (argc < 7) return 2;
  const bool counts = strcmp(argv[4], "count") == 0;
  const int first = counts ? 7 : 6;
  if (argc <= first) return 2;
  all.group_text = argv[1];
  all.interface = argv[2];
  all.subject_count = (uint32_t)(argc - first);
  all.subjects = calloc(all.subject_count, sizeof *all.subjects);
  if (strcmp(argv[3], "threads") == 0 && pthread_create(&other, NULL, sleep_on, NULL) != 0) return 1;
  if (all.subjects == NULL || make_room(&all) != 0) return 1;
  if (mctx_address_parse(argv[1], &all.group, &all.error) != MCTX_OK) return fail(argv[1], &all.error);
  int status = open_all(&all, &argv[first]);
  if (status != 0) return status;
  return counts ? count_way(&all, argv[5], number(argv[6])) : time_ways(&all, number(argv[5]));
}
