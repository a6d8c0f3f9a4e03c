package larqnets;

/** What must be refused, and with which words. */
final class Told {
    interface Act {
        void run() throws Exception;
    }

    private Told() {}

    static void argument(String words, Act act) {
        check(IllegalArgumentException.class, words, act);
    }

    static void state(String words, Act act) {
        check(IllegalStateException.class, words, act);
    }

    static void that(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    private static void check(Class<? extends Exception> kind, String words, Act act) {
        try {
            act.run();
        } catch (Exception error) {
            String said = String.valueOf(error.getMessage());
            that(error.getClass() == kind && said.contains(words), "'" + words + "' was expected, and this was told: " + error);
            that(said.endsWith(".") || words.isEmpty(), "no sentence: " + said);
            return;
        }
        throw new AssertionError("nothing was told where '" + words + "' was expected");
    }
}
