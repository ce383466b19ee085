package dev.rescind.clients;

/** Counts and prints what does not hold, and goes on: one run shows everything. */
final class Expect {
  static final String LANG = "java";

  private int failures = 0;

  void that(boolean holds, String format, Object... args) {
    if (holds) {
      return;
    }
    failures++;
    String what = String.format(format, args).strip().replaceAll("\\s+", " ");
    System.out.printf("FAILED %s: %s%n", LANG, what);
  }

  int failures() {
    return failures;
  }
}
