package larqnets;

import java.util.Arrays;

/**
 * Bilinear resizing with antialiasing, to the last bit as Pillow does it with 8 bits a channel.
 *
 * <p>A pixel of the result is the mean of those below a triangle around its place, which is as wide as two pixels of the
 * larger of both pictures; first along the rows, rounded to 8 bits, then along the columns. Weights are integers, in steps of
 * 2^-22 (Pillow's libImaging/Resample.c). The rows come one after another and are added up, so that of a picture no more than
 * one row is held.
 */
final class Resampling {
    private static final int BITS = 22;
    private static final int HALF = 1 << (BITS - 1);

    private final int channels;
    private final int columns;
    private final Weights across;
    private final Weights down;
    private final int[] sums; // (rows, columns, channels), in steps of 2^-22
    private final int[] row;

    Resampling(int height, int width, int rows, int columns, int channels) {
        this.channels = channels;
        this.columns = columns;
        across = new Weights(width, columns);
        down = new Weights(height, rows);
        sums = new int[rows * columns * channels];
        row = new int[columns * channels];
        Arrays.fill(sums, HALF);
    }

    /** Adds the row `y` of the picture: (width, channels) values from 0 to 255. The rows come from the top to the bottom. */
    void add(int y, int[] values) {
        for (int x = 0, at = 0; x < columns; x++) {
            for (int c = 0; c < channels; c++, at++) {
                int sum = HALF;
                int from = across.first[x] * channels + c;
                for (int i = across.start[x]; i < across.start[x + 1]; i++, from += channels) {
                    sum += values[from] * across.weight[i];
                }
                row[at] = in8Bits(sum);
            }
        }
        for (int target = down.below(y); target < down.first.length && down.first[target] <= y; target++) {
            int weight = down.of(target, y);
            for (int i = 0, at = target * row.length; weight != 0 && i < row.length; i++, at++) {
                sums[at] += row[i] * weight;
            }
        }
    }

    /** Returns a value of the result, 0 to 255, by its place in (rows, columns, channels), after the last row. */
    int value(int place) {
        return in8Bits(sums[place]);
    }

    private static int in8Bits(int sum) {
        return Math.max(0, Math.min(255, sum >> BITS));
    }

    /** Of every place of the result the pixels that it is made of, and how much of each. */
    private static final class Weights {
        final int[] first; // the first pixel
        final int[] start; // where its weights begin in `weight`; those of the next place follow
        final int[] weight; // in steps of 2^-22
        private int lowest; // the first place that pixels to come are part of

        Weights(int have, int wanted) {
            double scale = (double) have / wanted;
            double reach = Math.max(scale, 1);
            first = new int[wanted];
            start = new int[wanted + 1];
            for (int place = 0; place < wanted; place++) {
                double middle = (place + 0.5) * scale;
                first[place] = Math.max(0, (int) (middle - reach + 0.5));
                start[place + 1] = start[place] + Math.min(have, (int) (middle + reach + 0.5)) - first[place];
            }
            weight = new int[start[wanted]];
            for (int place = 0; place < wanted; place++) {
                weigh(place, (place + 0.5) * scale, 1 / reach);
            }
        }

        private void weigh(int place, double middle, double step) {
            double[] parts = new double[start[place + 1] - start[place]];
            double sum = 0;
            for (int i = 0; i < parts.length; i++) {
                parts[i] = Math.max(0, 1 - Math.abs((i + first[place] - middle + 0.5) * step));
                sum += parts[i];
            }
            for (int i = 0; i < parts.length; i++) {
                double share = sum == 0 ? parts[i] : parts[i] / sum;
                weight[start[place] + i] = (int) (0.5 + share * (1 << BITS));
            }
        }

        /** Returns the first place that the pixel `y` is part of, where pixels are asked for in rising order. */
        int below(int y) {
            while (lowest < first.length && first[lowest] + start[lowest + 1] - start[lowest] <= y) {
                lowest++;
            }
            return lowest;
        }

        int of(int place, int y) {
            int i = y - first[place];
            return i < start[place + 1] - start[place] ? weight[start[place] + i] : 0;
        }
    }
}
