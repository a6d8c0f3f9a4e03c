package larqnets;

/** A thing that was found in a picture. Places are in pixels of the upright picture, from its top left corner. */
public final class Box {
    /** The name of its class. */
    public final String label;

    /** The number of its class, from 0 on. */
    public final int number;

    /** How sure the network is, 0 to 1. */
    public final float score;

    /** Its left side. */
    public final float left;

    /** Its upper side. */
    public final float top;

    /** Its right side. */
    public final float right;

    /** Its lower side. */
    public final float bottom;

    Box(String label, int number, float score, double[] sides) {
        this.label = label;
        this.number = number;
        this.score = score;
        left = (float) sides[0];
        top = (float) sides[1];
        right = (float) sides[2];
        bottom = (float) sides[3];
    }

    @Override
    public String toString() {
        return label + " " + score + " [" + left + ", " + top + ", " + right + ", " + bottom + "]";
    }
}
