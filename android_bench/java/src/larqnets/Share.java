package larqnets;

/** A class that occurs in a mask, and how much of it. */
public final class Share {
    /** Its name. */
    public final String label;

    /** Its number, from 0 on. */
    public final int number;

    /** The share of the pixels that have a class, 0 to 1. */
    public final double share;

    Share(String label, int number, double share) {
        this.label = label;
        this.number = number;
        this.share = share;
    }

    @Override
    public String toString() {
        return label + " " + share;
    }
}
