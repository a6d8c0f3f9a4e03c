package larqnets;

/**
 * How a model is run.
 *
 * <pre>{@code new Options().threads(2)}</pre>
 */
public final class Options {
    int threads = 1;
    boolean xnnpack = true;
    boolean lowMemory;

    /** One thread, XNNPACK for ordinary ops, and the fastest way of every 1-bit convolution. */
    public Options() {}

    /**
     * Sets how many threads compute. The answers are the same with 1 to 4; more threads than fast cores are no faster.
     *
     * @param threads at least 1
     * @return this
     * @throws IllegalArgumentException for less than 1
     */
    public Options threads(int threads) {
        if (threads < 1) {
            throw new IllegalArgumentException("There must be at least 1 thread, not " + threads + ".");
        }
        this.threads = threads;
        return this;
    }

    /**
     * Sets whether ordinary ops run in XNNPACK (true, as without this call) or in TensorFlow Lite's own kernels.
     *
     * @return this
     */
    public Options xnnpack(boolean xnnpack) {
        this.xnnpack = xnnpack;
        return this;
    }

    /**
     * Sets whether 1-bit convolutions keep little beside their filters, where a faster way would keep more than four bytes
     * for every byte of filters.
     *
     * @return this
     */
    public Options lowMemory(boolean lowMemory) {
        this.lowMemory = lowMemory;
        return this;
    }
}
