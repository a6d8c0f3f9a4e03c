package larqnets;

/** Logits (h, w, classes), bilinear between the middles of pixels at any size, and the largest of them at a pixel. */
final class Enlarging {
    private final float[] logits;
    private final int classes;
    private final int stored; // values of a stored row
    private final Between down;
    private final Between across;
    private final float[] row;

    Enlarging(float[] logits, int storedHeight, int storedWidth, int classes, int height, int width) {
        this.logits = logits;
        this.classes = classes;
        stored = storedWidth * classes;
        down = new Between(storedHeight, height);
        across = new Between(storedWidth, width);
        row = new float[stored];
    }

    /** Writes the classes of the first pixels of the row `y`; the lowest of equal ones. */
    void largest(int y, byte[] into) {
        int upper = down.low[y] * stored;
        int lower = down.high[y] * stored;
        float share = down.share[y];
        for (int i = 0; i < stored; i++) {
            row[i] = logits[upper + i] * (1 - share) + logits[lower + i] * share;
        }
        for (int x = 0; x < into.length; x++) {
            int before = across.low[x] * classes;
            int after = across.high[x] * classes;
            float part = across.share[x];
            int best = 0;
            float most = Float.NEGATIVE_INFINITY;
            for (int c = 0; c < classes; c++) {
                float value = row[before + c] * (1 - part) + row[after + c] * part;
                if (value > most) {
                    most = value;
                    best = c;
                }
            }
            into[x] = (byte) best;
        }
    }

    /** Of every place along a side the two stored ones around it, and how much of the second one. */
    private static final class Between {
        final int[] low;
        final int[] high;
        final float[] share;

        Between(int have, int wanted) {
            low = new int[wanted];
            high = new int[wanted];
            share = new float[wanted];
            for (int i = 0; i < wanted; i++) {
                double place = Math.max(0, Math.min(have - 1, (i + 0.5) * have / wanted - 0.5));
                low[i] = (int) Math.floor(place);
                high[i] = Math.min(low[i] + 1, have - 1);
                share[i] = (float) (place - low[i]);
            }
        }
    }
}
