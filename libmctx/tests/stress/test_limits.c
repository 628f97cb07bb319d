/* SPDX-License-Identifier: MIT */
/* Many publications, and the end of the descriptors. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "host/host.h"

static const char *const group = "239.7.7.7:5007";

static mctx_publication_options duplicates(void) {
  mctx_publication_options options = options_through(group, "lo");
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  return options;
}

static void the_end_of_the_descriptors_is_an_error(void **state) {
  enum { MOST = 64 };
  mctx_publication publications[MOST];
  mctx_publication refused = 7;
  mctx_interface_list list = 7;
  mctx_error error = MCTX_ERROR_INIT;
  uint32_t opened = 0;
  uint32_t ready;
  (void)state;
  host_alone();
  mctx_context context = open_context();
  mctx_publication_options options = duplicates();
  uint32_t held = descriptors_held();
  uint64_t before = limit_descriptors(held + 20);
  mctx_status status = MCTX_OK;
  for (; status == MCTX_OK && opened < MOST; opened += status == MCTX_OK)
    status = mctx_publication_open(context, &options, &publications[opened], &error);
  uint32_t left = 0; /* which limit was met first: the snapshot needs a descriptor for a moment */
  for (int spare; (spare = dup(0)) >= 0 && left < 3; left++)
    publications[opened + left] = (mctx_publication)spare;

  /* now there is none at all */
  mctx_status again = mctx_publication_open(context, &options, &refused, &error);
  mctx_status listed = mctx_interface_list_open(&list, NULL);
  mctx_status waited = mctx_wait(publications[0], 0, 0, MILLI, &ready, NULL);
  mctx_status sent = mctx_send(publications[0], "x", 1, NULL);
  for (uint32_t i = 0; i < left; i++)
    close((int)publications[opened + i]);
  limit_descriptors(before);
  assert_status(status, MCTX_ERR_TOO_MANY_DESCRIPTORS);
  assert_status(again, MCTX_ERR_TOO_MANY_DESCRIPTORS);
  assert_status(listed, MCTX_ERR_TOO_MANY_DESCRIPTORS);
  assert_status(waited, MCTX_ERR_TOO_MANY_DESCRIPTORS);
  assert_status(sent, MCTX_OK);
  assert_int_equal(refused, 0);
  assert_int_equal(list, 0);
  assert_int_equal(error.kind, MCTX_KIND_LIMIT);
  assert_int_equal(error.os_code, EMFILE);
  assert_int_equal(descriptors_held(), held + opened);

  /* and with room again everything works */
  assert_status(mctx_wait(publications[0], 0, 0, MILLI, &ready, NULL), MCTX_ERR_TIMEOUT);
  assert_ok(mctx_publication_open(context, &options, &refused, &error));
  assert_ok(mctx_close(context, NULL));
  assert_int_equal(descriptors_held(), held);
}

static void the_hint_says_how_to_get_more(void **state) {
  mctx_publication publication = 0;
  mctx_error error = MCTX_ERROR_INIT;
  mctx_status status = MCTX_OK;
  (void)state;
  host_alone();
  mctx_context context = open_context();
  mctx_publication_options options = options_for(group); /* asks nothing of the interfaces */
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  uint64_t before = limit_descriptors(descriptors_held() + 10);
  for (int i = 0; i < 64 && status == MCTX_OK; i++)
    status = mctx_publication_open(context, &options, &publication, &error);
  limit_descriptors(before);
  assert_status(status, MCTX_ERR_TOO_MANY_DESCRIPTORS);
  assert_non_null(strstr(error.hint, "ulimit -n"));
  assert_int_equal(error.retry, MCTX_RETRY_AFTER_CHANGE);
  assert_ok(mctx_close(context, NULL));
}

/* As many as the limit lets, 10,000 at most; the last thousand cost about what the first did. */
static void ten_thousand_publications(void **state) {
  enum { WANTED = 10000, PART = 1000, SPARE = 100 };
  static mctx_publication publications[WANTED];
  int64_t spent[WANTED / PART] = {0};
  uint32_t count;
  (void)state;
  host_alone();
  uint64_t before = limit_descriptors(WANTED + SPARE);
  struct rlimit limit;
  assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &limit));
  if (limit.rlim_cur < 2 * PART + SPARE) SKIP("the limit of descriptors is too low (ulimit -Hn)");
  uint32_t most = limit.rlim_cur < WANTED + SPARE ? (uint32_t)limit.rlim_cur - SPARE : WANTED;
  most -= most % PART;
  uint32_t held = descriptors_held();
  mctx_context context = open_context();
  mctx_publication_options options = options_for(group);
  for (uint32_t i = 0; i < most; i++) {
    int64_t start = now_ns();
    options.group = (mctx_address){.family = 4, .port = 5007, .bytes = {239, 1, (uint8_t)(i >> 8), (uint8_t)i}};
    publications[i] = open_with(context, &options);
    spent[i / PART] += now_ns() - start;
  }
  assert_ok(mctx_context_publications(context, NULL, 0, &count, NULL));
  assert_int_equal(count, most);
  mctx_error error = MCTX_ERROR_INIT;
  mctx_publication second;
  assert_status(mctx_publication_open(context, &options, &second, &error), MCTX_ERR_PUBLICATION_EXISTS);
  int64_t start = now_ns();
  assert_ok(mctx_send_all(context, "all", 3, NULL, 0, 0, &count, NULL));
  int64_t sending = now_ns() - start;
  assert_int_equal(count, most);
  start = now_ns();
  for (uint32_t i = 0; i < most / 2; i++)
    assert_ok(mctx_close(publications[i], NULL));
  assert_ok(mctx_close(context, NULL));
  int64_t closing = now_ns() - start;
  print_message(
      "figures: %u publications: the first %d opened in %d ms, the last in %d ms, sent on all in %d ms, "
      "closed in %d ms\n",
      most, PART, (int)(spent[0] / MILLI), (int)(spent[most / PART - 1] / MILLI), (int)(sending / MILLI),
      (int)(closing / MILLI));
  /* a sanitizer slows the looking through most */
  assert_true(spent[most / PART - 1] < 10 * spent[0] + 5 * SECOND);
  assert_true(closing < 60 * SECOND);
  assert_int_equal(descriptors_held(), held);
  limit_descriptors(before);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_end_of_the_descriptors_is_an_error),
      cmocka_unit_test(the_hint_says_how_to_get_more),
      cmocka_unit_test(ten_thousand_publications),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
