package larqnets;

/** A class, and how probable it is. */
public final class Answer {
    /** Its name. */
    public final String label;

    /** Its number, from 0 on. */
    public final int number;

    /** Its probability, 0 to 1. */
    public final float probability;

    Answer(String label, int number, float probability) {
        this.label = label;
        this.number = number;
        this.probability = probability;
    }

    @Override
    public String toString() {
        return label + " " + probability;
    }
}
