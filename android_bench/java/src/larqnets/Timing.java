package larqnets;

/** How long the parts of one call took, in nanoseconds. */
public final class Timing {
    /** Bringing the picture to the network's size. */
    public final long prepare;

    /** The network. */
    public final long run;

    /** Making labels, a mask or boxes of what it answered. */
    public final long answer;

    Timing(long prepare, long run, long answer) {
        this.prepare = prepare;
        this.run = run;
        this.answer = answer;
    }

    /** Returns milliseconds of the whole call. */
    public double milliseconds() {
        return (prepare + run + answer) / 1e6;
    }

    @Override
    public String toString() {
        return milliseconds() + " ms";
    }
}
