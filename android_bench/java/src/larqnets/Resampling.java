package larqnets;

import java.util.Arrays;

/**
 * Bilinear resizing with antialiasing, to the last bit as Pillow 13 does it with 8 bits a channel.
 *
 * <p>A pixel of the result is the mean of those below a triangle around its place, which is as wide as two pixels of the
 * larger of both pictures; along one side first, rounded to 8 bits, then along the other. Weights are integers, in steps of
 * 2^-22 (Pillow's libImaging/Resample.c). The rows come one after another and are added up, so that of a picture no more than
 * a few rows are held.
 *
 * <p>Pillow goes along the rows first, and since version 13 (its pull request 9549) along the columns where the height shrinks
 * by more than twice as many pixels as the width. The order changes a pixel by one level at most.
 */
final class Resampling {
    private static final int BITS = 22;
    private static final int HALF = 1 << (BITS - 1);

    private final int channels;
    private final boolean columnsFirst;
    private final Weights across;
    private final Weights down;
    private final int[][] sums; // of every row of the result that is begun, in steps of 2^-22
    private final int[][] result;
    private int finished; // rows of the result

    Resampling(int height, int width, int rows, int columns, int channels) {
        this.channels = channels;
        columnsFirst = height > rows && height - rows > 2L * (width - columns);
        across = new Weights(width, columns);
        down = new Weights(height, rows);
        sums = new int[rows][];
        result = new int[rows][];
    }

    /** Adds the row `y` of the picture: (width, channels) values from 0 to 255. The rows come from the top to the bottom. */
    void add(int y, int[] values) {
        int[] row = columnsFirst ? values : resized(values);
        for (int target = finished; target < sums.length && down.first[target] <= y; target++) {
            if (sums[target] == null) {
                sums[target] = new int[row.length];
                Arrays.fill(sums[target], HALF);
            }
            int weight = down.weight[down.start[target] + y - down.first[target]];
            for (int i = 0; i < row.length; i++) {
                sums[target][i] += row[i] * weight;
            }
        }
        while (finished < sums.length && down.end(finished) == y + 1) {
            int[] whole = sums[finished];
            sums[finished] = null;
            for (int i = 0; i < whole.length; i++) {
                whole[i] = in8Bits(whole[i]);
            }
            result[finished++] = columnsFirst ? resized(whole) : whole;
        }
    }

    /** Returns a row of the result, (columns, channels) values from 0 to 255, after the last row of the picture. */
    int[] row(int number) {
        return result[number];
    }

    private int[] resized(int[] row) {
        int[] found = new int[across.first.length * channels];
        for (int x = 0, at = 0; x < across.first.length; x++) {
            for (int c = 0; c < channels; c++, at++) {
                int sum = HALF;
                int from = across.first[x] * channels + c;
                for (int i = across.start[x]; i < across.start[x + 1]; i++, from += channels) {
                    sum += row[from] * across.weight[i];
                }
                found[at] = in8Bits(sum);
            }
        }
        return found;
    }

    private static int in8Bits(int sum) {
        return Math.max(0, Math.min(255, sum >> BITS));
    }

    /** Of every place of the result the pixels that it is made of, and how much of each. */
    private static final class Weights {
        final int[] first; // the first pixel
        final int[] start; // where its weights begin in `weight`; those of the next place follow
        final int[] weight; // in steps of 2^-22

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

        /** Returns the pixel behind the last one that a place is made of. */
        int end(int place) {
            return first[place] + start[place + 1] - start[place];
        }
    }
}
