/* SPDX-License-Identifier: MIT */
/*
 * Prints what is sent to a group:   subscribe GROUP PORT [INTERFACE|any [SOURCE]]
 *
 * With a source, from that alone. Ctrl-C ends it.
 */
#include <ctype.h>
#include <mctx.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mctx_subscription subscription;

static unsigned char arena[1 << 20];
static _Alignas(8) mctx_datagram datagrams[512];
static _Alignas(8) mctx_message messages[512];

static int fail(const mctx_error *error) {
  fprintf(stderr, "%s: %s (%s)\n", error->operation, error->message, mctx_status_name(error->status));
  if (error->hint[0] != '\0') fprintf(stderr, "%s\n", error->hint);
  return 1;
}

static void end(int number) {
  (void)number;
  (void)mctx_wake(subscription); /* the one function that a signal handler may call */
}

static mctx_status open_subscription(mctx_context context, int argc, char **argv, mctx_error *error) {
  mctx_address source;
  mctx_membership membership = {0};
  mctx_subscription_options options;
  mctx_subscription_options_init(&options, sizeof options);
  mctx_status status = mctx_address_parse(argv[1], &membership.group, error);
  if (status != MCTX_OK) return status;
  if (argc > 3 && strcmp(argv[3], "any") != 0) {
    membership.ingress.by = MCTX_INTERFACE_BY_NAME;
    membership.ingress.name = argv[3];
  }
  if (argc > 4) {
    status = mctx_address_parse(argv[4], &source, error);
    if (status != MCTX_OK) return status;
    membership.mode = MCTX_INCLUDE;
    membership.sources = &source;
    membership.source_count = 1;
  }
  options.port = (int32_t)strtol(argv[2], NULL, 10);
  options.metadata = MCTX_META_SOURCE | MCTX_META_GROUP | MCTX_META_DROPS; /* what is printed below */
  options.memberships = &membership;
  options.membership_count = 1;
  options.membership_stride = sizeof membership;
  return mctx_subscription_open(context, &options, &subscription, error);
}

static void print_address(const char *before, const mctx_address *address) {
  char text[64];
  size_t length;
  if (mctx_address_format(address, text, sizeof text, &length, NULL) == MCTX_OK) printf("%s%s", before, text);
}

static void print_datagram(const mctx_datagram *datagram) {
  const mctx_message *message = &messages[datagram->message];
  print_address("", &message->source);
  print_address(" -> ", &message->group);
  printf(" on interface %u: ", (unsigned)message->interface_index);
  for (uint32_t i = 0; i < datagram->length; i++) {
    const unsigned char byte = arena[datagram->offset + i];
    putchar(isprint(byte) ? byte : '.');
  }
  putchar('\n');
}

/* Receives until Ctrl-C. */
static mctx_status receive_all(uint64_t *received, uint64_t *dropped, mctx_error *error) {
  for (;;) {
    mctx_receive_batch batch = {.size = sizeof batch,
                                .message_stride = sizeof messages[0],
                                .arena = arena,
                                .arena_size = sizeof arena,
                                .datagrams = datagrams,
                                .datagram_capacity = sizeof datagrams / sizeof datagrams[0],
                                .messages = messages,
                                .message_capacity = sizeof messages / sizeof messages[0]};
    mctx_status status = mctx_recv_batch(subscription, &batch, 0, -1, error);
    if (status != MCTX_OK) return status == MCTX_ERR_WOKEN ? MCTX_OK : status;
    for (uint64_t i = 0; i < batch.datagram_count; i++)
      print_datagram(&datagrams[i]);
    fflush(stdout);
    *received += batch.datagram_count;
    *dropped = messages[batch.message_count - 1].drops;
  }
}

int main(int argc, char **argv) {
  if (argc < 3 || strtol(argv[2], NULL, 10) == 0) { /* the library takes 0 for: choose one */
    fprintf(stderr, "usage: %s GROUP PORT [INTERFACE|any [SOURCE]]\n", argv[0]);
    return 2;
  }
  mctx_error error = MCTX_ERROR_INIT;
  mctx_context context;
  uint64_t received = 0, dropped = 0;
  if (mctx_context_open(NULL, &context, &error) != MCTX_OK) return fail(&error);
  if (open_subscription(context, argc, argv, &error) != MCTX_OK) return fail(&error);
  signal(SIGINT, end);
  signal(SIGTERM, end);
  if (receive_all(&received, &dropped, &error) != MCTX_OK) return fail(&error);
  printf("%llu datagrams received; the kernel dropped %llu messages\n", (unsigned long long)received,
         (unsigned long long)dropped);
  return mctx_close(context, &error) == MCTX_OK ? 0 : fail(&error);
}
