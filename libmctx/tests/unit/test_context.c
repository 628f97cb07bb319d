/* SPDX-License-Identifier: MIT */
/* Contexts: what they own, in which order, and that contexts do not meet. */
#include "sim_fixture.h"

static void publications_are_listed_in_order_of_opening(void **state) {
  (void)state;
  static const char *const groups[] = {"239.1.1.9:5000", "239.1.1.1:5000", "[ff15::1]:5000", "239.1.1.5:5000"};
  mctx_context context = open_context();
  mctx_publication opened[4], listed[8];
  uint32_t count;
  assert_ok(mctx_context_publications(context, listed, 8, &count, NULL));
  assert_int_equal(count, 0);
  for (int i = 0; i < 4; i++)
    opened[i] = open_group(context, groups[i]);
  assert_ok(mctx_context_publications(context, listed, 8, &count, NULL));
  assert_int_equal(count, 4);
  assert_memory_equal(listed, opened, sizeof opened);
  assert_closed(opened[1]);
  opened[1] = open_group(context, groups[1]);
  assert_ok(mctx_context_publications(context, listed, 8, &count, NULL));
  mctx_publication expected[] = {opened[0], opened[2], opened[3], opened[1]};
  assert_memory_equal(listed, expected, sizeof expected);
  assert_closed(context);
}

static void short_arrays_take_the_first(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication first = open_group(context, "239.1.1.1:5000");
  mctx_publication second = open_group(context, "239.1.1.2:5000");
  mctx_publication listed[2] = {77, 77};
  uint32_t count;
  assert_ok(mctx_context_publications(context, listed, 1, &count, NULL));
  assert_int_equal(count, 2);
  assert_int_equal(listed[0], first);
  assert_int_equal(listed[1], 77);
  (void)second;
  assert_closed(context);
}

static void contexts_do_not_meet(void **state) {
  (void)state;
  mctx_context one = open_context(), two = open_context();
  mctx_publication publication = open_group(one, "239.1.1.1:5000");
  uint32_t count;
  assert_ok(mctx_context_publications(two, NULL, 0, &count, NULL));
  assert_int_equal(count, 0);
  assert_ok(mctx_send_all(two, "x", 1, NULL, 0, 0, &count, NULL));
  assert_int_equal(mctx_sim_wire_count(), 0);
  assert_closed(two);
  assert_ok(mctx_send(publication, "x", 1, NULL));
  assert_int_equal(info_of(publication).context, one);
  assert_closed(one);
}

static void closing_frees_the_ports(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    mctx_context context = open_context();
    mctx_publication_options options = options_for("239.1.1.1:5000");
    options.source_port = 6000;
    options.reuse_port = 0;
    (void)open_with(context, &options);
    assert_closed(context);
  }
}

static void many_contexts(void **state) {
  (void)state;
  enum { MANY = 500 };
  static mctx_context contexts[MANY];
  for (int i = 0; i < MANY; i++) {
    contexts[i] = open_context();
    (void)open_group(contexts[i], "239.1.1.1:5000");
  }
  for (int i = 0; i < MANY; i++)
    assert_closed(contexts[(i * 7) % MANY]);
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      fixture_test(publications_are_listed_in_order_of_opening),
      fixture_test(short_arrays_take_the_first),
      fixture_test(contexts_do_not_meet),
      fixture_test(closing_frees_the_ports),
      fixture_test(many_contexts),
  };
  return cmocka_run_group_tests_name("context", tests, NULL, NULL);
}
