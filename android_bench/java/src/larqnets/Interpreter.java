package larqnets;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;

/**
 * A .tflite file, with Larq's ops or without, that is run on values.
 *
 * <p>It belongs to one thread at a time: any thread may use it, and a second one meanwhile is refused with
 * IllegalStateException. It holds memory outside of Java's heap until {@link #close}. Files that others made can crash
 * TensorFlow Lite: give it those that came with the app.
 *
 * <pre>{@code
 * try (Interpreter interpreter = new Interpreter(model)) {
 *     ByteBuffer input = interpreter.inputs().get(0).allocate();
 *     ByteBuffer output = interpreter.outputs().get(0).allocate();
 *     input.asFloatBuffer().put(values);
 *     interpreter.run(input, output);
 *     float first = output.getFloat(0);
 * }
 * }</pre>
 */
public final class Interpreter implements AutoCloseable {
    private final ByteBuffer file; // is read until close
    private final List<Tensor> inputs;
    private final List<Tensor> outputs;
    private final AtomicReference<Thread> user = new AtomicReference<>();
    private long model; // 0: closed
    private long nanoseconds;

    /**
     * Loads a model with the usual options.
     *
     * @see #Interpreter(ByteBuffer, Options)
     */
    public Interpreter(ByteBuffer file) {
        this(file, new Options());
    }

    /**
     * Loads a model.
     *
     * @param file a direct buffer with the content of a .tflite file from its position to its limit; it must stay as it is until
     *     {@link #close}
     * @throws IllegalArgumentException when the buffer is not direct or empty, and when the file is damaged or needs an op that
     *     is not there
     * @throws IllegalStateException when liblarqnets.so or TensorFlow Lite is not in the app
     */
    public Interpreter(ByteBuffer file, Options options) {
        checkDirect(file, "The model's buffer");
        if (!file.hasRemaining()) {
            throw new IllegalArgumentException("The model's buffer is empty. Set its position to where the file begins.");
        }
        Native.load();
        this.file = file.duplicate();
        this.model =
                Native.create(
                        this.file, file.position(), file.remaining(), options.threads, options.xnnpack, options.lowMemory);
        boolean whole = false;
        try {
            this.inputs = tensors(false);
            this.outputs = tensors(true);
            whole = true;
        } finally {
            if (!whole) {
                Native.destroy(model);
            }
        }
    }

    /** Returns the inputs, in the file's order. */
    public List<Tensor> inputs() {
        return inputs;
    }

    /** Returns the outputs, in the file's order. */
    public List<Tensor> outputs() {
        return outputs;
    }

    /**
     * Runs a model of one input and one output; see {@link #run(ByteBuffer[], ByteBuffer[])}.
     */
    public void run(ByteBuffer input, ByteBuffer output) {
        run(new ByteBuffer[] {input}, new ByteBuffer[] {output});
    }

    /**
     * Runs the model.
     *
     * @param given the values of every input, in the processor's byte order from the position of a direct buffer to its limit,
     *     see {@link Tensor#allocate}; the position stays
     * @param results where the values of every output go, as many bytes as it has; the position stays
     * @throws IllegalArgumentException when the buffers are too many or too few, not direct, of another size or byte order, or
     *     results are read-only
     * @throws IllegalStateException when it is closed, when another thread uses it, and when an op fails
     */
    public void run(ByteBuffer[] given, ByteBuffer[] results) {
        check(given, inputs, "input");
        check(results, outputs, "output");
        take();
        try {
            invoke(given, results);
        } finally {
            leave();
        }
    }

    /** Runs the model with buffers that fit, by a thread that took it. */
    void invoke(ByteBuffer[] given, ByteBuffer[] results) {
        for (int i = 0; i < given.length; i++) {
            Native.setInput(model, i, given[i], given[i].position(), inputs.get(i).bytes);
        }
        long started = System.nanoTime();
        Native.invoke(model);
        nanoseconds = System.nanoTime() - started;
        for (int i = 0; i < results.length; i++) {
            Native.getOutput(model, i, results[i], results[i].position(), outputs.get(i).bytes);
        }
    }

    /** Returns how long the network of the last run took, in nanoseconds, without copying its values; 0 before the first. */
    public long nanoseconds() {
        return nanoseconds;
    }

    /**
     * Frees the model. Nothing else works afterwards; a second call does nothing.
     *
     * @throws IllegalStateException while another thread uses it
     */
    @Override
    public void close() {
        own();
        try {
            if (model != 0) {
                Native.destroy(model);
                model = 0;
            }
        } finally {
            leave();
        }
    }

    /** Returns the version of this library. */
    public static String version() {
        return about(0);
    }

    /** Returns the version of the TensorFlow Lite in this app; IllegalStateException where there is none. */
    public static String tensorFlowLite() {
        return about(1);
    }

    /** Returns which kernels 1-bit ops have here: "neon" on ARM, "portable" elsewhere. */
    public static String kernels() {
        return about(2);
    }

    /** Lets no other thread in until {@link #leave}; IllegalStateException where one is, or it is closed. */
    void take() {
        own();
        if (model == 0) {
            leave();
            throw new IllegalStateException("The interpreter is closed. Make a new one.");
        }
    }

    void leave() {
        user.set(null);
    }

    private void own() {
        if (!user.compareAndSet(null, Thread.currentThread())) {
            Thread other = user.get();
            throw new IllegalStateException(
                    "The interpreter is in use by "
                            + (other == null ? "another thread" : "the thread " + other.getName())
                            + ". Give every thread an interpreter of its own, or wait for the other one.");
        }
    }

    private List<Tensor> tensors(boolean output) {
        List<Tensor> found = new ArrayList<>();
        for (int i = 0; i < Native.count(model, output); i++) {
            long[] facts = new long[Native.FACTS];
            String name = new String(Native.tensor(model, output, i, facts), StandardCharsets.UTF_8);
            int[] shape = new int[(int) facts[Native.RANK]];
            Arrays.setAll(shape, dimension -> (int) facts[Native.FIRST_DIMENSION + dimension]);
            float scale = Float.intBitsToFloat((int) facts[Native.SCALE_BITS]);
            TensorType type = TensorType.of(facts[Native.TYPE]);
            found.add(new Tensor(name, type, shape, scale, (int) facts[Native.ZERO_POINT], facts[Native.BYTES]));
        }
        return Collections.unmodifiableList(found);
    }

    private static void check(ByteBuffer[] buffers, List<Tensor> tensors, String side) {
        if (buffers.length != tensors.size()) {
            throw new IllegalArgumentException(
                    "The model has " + tensors.size() + " " + side + "s, and there are " + buffers.length + " buffers for them.");
        }
        for (int i = 0; i < buffers.length; i++) {
            Tensor tensor = tensors.get(i);
            String whose = "The buffer of " + side + " " + i;
            checkDirect(buffers[i], whose);
            if (buffers[i].remaining() != tensor.bytes) {
                throw new IllegalArgumentException(
                        whose
                                + " has "
                                + buffers[i].remaining()
                                + " bytes from its position to its limit, and "
                                + tensor.typeAndShape()
                                + " takes "
                                + tensor.bytes
                                + ". Make it with Tensor.allocate(), and rewind() it after it was filled.");
            }
            if (tensor.type.bytes > 1 && buffers[i].order() != ByteOrder.nativeOrder()) {
                throw new IllegalArgumentException(
                        whose + " has the byte order " + buffers[i].order() + ". Call order(ByteOrder.nativeOrder()) on it.");
            }
            if (side.equals("output") && buffers[i].isReadOnly()) {
                throw new IllegalArgumentException(whose + " is read-only. Make it with Tensor.allocate().");
            }
        }
    }

    private static void checkDirect(ByteBuffer buffer, String whose) {
        if (buffer == null) {
            throw new IllegalArgumentException(whose + " is null. Give a buffer made with ByteBuffer.allocateDirect.");
        }
        if (!buffer.isDirect()) {
            throw new IllegalArgumentException(whose + " is not direct. Make it with ByteBuffer.allocateDirect.");
        }
    }

    private static String about(int what) {
        Native.load();
        return new String(Native.about(what), StandardCharsets.US_ASCII);
    }
}
