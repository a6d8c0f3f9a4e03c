package larqnets;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Checks with many threads and many interpreters. */
final class Many {
    private static final long MEGABYTE = 1 << 20;

    private Many() {}

    /** One thread at a time: another one is told so, and may when the first one is through. */
    static void wrongThread(Assets digits) throws Exception {
        ExecutorService other = Executors.newSingleThreadExecutor();
        try (Classifier classifier = new Classifier(digits.model(), digits.metadata())) {
            CountDownLatch inside = new CountDownLatch(1);
            CountDownLatch go = new CountDownLatch(1);
            Future<String> first =
                    other.submit(
                            () ->
                                    classifier.look(
                                            Picture.of(Checks.DIGIT, 8, 8),
                                            view -> {
                                                inside.countDown();
                                                await(go);
                                                return Thread.currentThread().getName();
                                            }));
            inside.await();
            Told.state("The interpreter is in use by the thread pool-", () -> classifier.classify(Checks.DIGIT, 8, 8));
            Told.state("The interpreter is in use", classifier::close);
            go.countDown();
            first.get();
            Told.that(classifier.classify(Checks.DIGIT, 8, 8).size() == 3, "another thread may use it then");
        } finally {
            other.shutdown();
        }
    }

    private static void await(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException error) {
            throw new AssertionError(error);
        }
    }

    /** Four threads with models of their own, of two threads each, all the time. */
    static void fourThreads(Assets digits, Assets bccd) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        try {
            List<Future<List<String>>> futures = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                futures.add(pool.submit(() -> work(digits, bccd)));
            }
            List<String> usual = work(digits, bccd);
            for (Future<List<String>> future : futures) {
                Told.that(future.get().equals(usual), "threads disturb each other");
            }
        } finally {
            pool.shutdown();
        }
    }

    private static List<String> work(Assets digits, Assets bccd) {
        List<String> found = new ArrayList<>();
        Options options = new Options().threads(2);
        try (Detector detector = new Detector(bccd.model(), bccd.metadata(), options, 0.01, 0.6)) {
            for (int i = 0; i < 25; i++) {
                try (Classifier classifier = new Classifier(digits.model(), digits.metadata(), options)) {
                    found.add(classifier.classify(Checks.DIGIT, 8, 8).toString());
                    found.add(i == 12 ? detector.detect(Checks.DIGIT, 8, 8).toString() : "");
                }
            }
        }
        return found;
    }

    /** A thousand at once, each of which answers. */
    static void thousand(Assets digits) {
        List<Classifier> all = new ArrayList<>();
        String usual = null;
        for (int i = 0; i < 1000; i++) {
            all.add(new Classifier(digits.model(), digits.metadata()));
        }
        for (Classifier classifier : all) {
            String found = classifier.classify(Checks.DIGIT, 8, 8).toString();
            Told.that(usual == null || usual.equals(found), "one answers otherwise");
            usual = found;
        }
        all.forEach(Classifier::close);
    }

    /** Memory does not grow: with models that answer, that cannot be loaded and whose metadata do not fit. */
    static void leaks(Assets digits, byte[] content) throws IOException {
        ByteBuffer half = Checks.direct(Arrays.copyOf(content, content.length - 4096));
        ByteBuffer shifted = ByteBuffer.allocateDirect(content.length + 1);
        shifted.position(1);
        shifted.put(content).position(1); // is copied when it is loaded
        rounds(digits, half, shifted, 50);
        long before = resident();
        rounds(digits, half, shifted, 200);
        long grown = resident() - before;
        // What one model holds, 0.1 MB, would be 20 MB of 200.
        Told.that(grown < 8 * MEGABYTE, "memory grew by " + grown + " bytes");
    }

    private static void rounds(Assets digits, ByteBuffer half, ByteBuffer shifted, int count) {
        for (int i = 0; i < count; i++) {
            try (Classifier classifier = new Classifier(shifted, digits.metadata(), new Options().threads(1 + i % 2))) {
                classifier.classify(Checks.DIGIT, 8, 8);
                Told.that(Interpreter.kernels().length() > 3, "kernels");
            }
            Told.argument("", () -> new Interpreter(half));
            try (Interpreter interpreter = new Interpreter(digits.model())) {
                ByteBuffer output = interpreter.outputs().get(0).allocate();
                Told.argument("", () -> interpreter.run(output, output));
            }
        }
    }

    /** Returns the memory of this process in bytes. */
    private static long resident() throws IOException {
        System.gc();
        for (String line : Files.readAllLines(Paths.get("/proc/self/status"))) {
            if (line.startsWith("VmRSS:")) {
                return Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024;
            }
        }
        throw new IOException("/proc/self/status has no VmRSS");
    }
}
