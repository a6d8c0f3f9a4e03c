package larqnets;

import java.nio.ByteBuffer;

/**
 * The functions of liblarqnets.so, see android_bench/native/jni.cc.
 *
 * <p>A model is a number that is not 0 until {@link #destroy}; nothing here looks whether it still is one. What fails throws
 * IllegalArgumentException or IllegalStateException with the library's sentence.
 */
final class Native {
    /** What {@link #tensor} says, by place. */
    static final int TYPE = 0;

    static final int RANK = 1;
    static final int BYTES = 2;
    static final int ZERO_POINT = 3;
    static final int SCALE_BITS = 4;
    static final int FIRST_DIMENSION = 5;
    static final int FACTS = 13;

    private static final String LIBRARY = "larqnets";

    private Native() {}

    /** Loads liblarqnets.so, once; IllegalStateException where the app has none for this processor. */
    static void load() {
        try {
            System.loadLibrary(LIBRARY);
        } catch (UnsatisfiedLinkError error) {
            throw new IllegalStateException(
                    "This app has no liblarqnets.so for "
                            + System.getProperty("os.arch")
                            + ". The archive has it for arm64-v8a and x86_64: do not leave these out in abiFilters, and run the app on"
                            + " such a device ("
                            + error.getMessage()
                            + ").",
                    error);
        }
    }

    /** Returns the model of a direct buffer, of which `size` bytes from `offset` on must stay as they are until destroy. */
    static native long create(ByteBuffer file, int offset, int size, int threads, boolean xnnpack, boolean lowMemory);

    static native void destroy(long model);

    static native int count(long model, boolean output);

    /** Writes FACTS numbers about an input or output and returns its name as the file has it, UTF-8. */
    static native byte[] tensor(long model, boolean output, int index, long[] facts);

    static native void setInput(long model, int index, ByteBuffer values, int offset, int size);

    static native void invoke(long model);

    static native void getOutput(long model, int index, ByteBuffer values, int offset, int size);

    /** Returns a fact in ASCII: 0 the version of the library, 1 that of TensorFlow Lite, 2 which kernels there are. */
    static native byte[] about(int what);
}
