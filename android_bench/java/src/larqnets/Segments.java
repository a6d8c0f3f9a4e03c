package larqnets;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** The classes of the pixels of an upright picture. */
public final class Segments {
    /** Stands in a mask where there is no class; as a byte of Java it is -1. */
    public static final int OUTSIDE = 255;

    /**
     * The number of every pixel's class, row by row, height x width of them: 0 to 254, and OUTSIDE where the network does not
     * look. Bytes of Java have a sign: {@link #classAt} takes it off.
     */
    public final byte[] mask;

    /** Width of the picture in pixels. */
    public final int width;

    /** Height of the picture in pixels. */
    public final int height;

    /** The first row that the network looks at. */
    public final int top;

    /** The first column that the network looks at. */
    public final int left;

    /** How many rows the network looks at. */
    public final int seenHeight;

    /** How many columns the network looks at. */
    public final int seenWidth;

    /** Names of the classes, by number. */
    public final List<String> labels;

    private final int[] colors;

    Segments(byte[] mask, int width, int height, View view, List<String> labels, int[] colors) {
        this.mask = mask;
        this.width = width;
        this.height = height;
        top = view.top;
        left = view.left;
        seenHeight = view.height;
        seenWidth = view.width;
        this.labels = labels;
        this.colors = colors;
    }

    /** Returns the number of the class of a pixel, OUTSIDE where it has none. */
    public int classAt(int x, int y) {
        if (x < 0 || x >= width || y < 0 || y >= height) {
            throw new IllegalArgumentException(
                    "The pixel (" + x + ", " + y + ") is not in the picture of " + width + "x" + height + " pixels.");
        }
        return mask[y * width + x] & 0xFF;
    }

    /** Returns the colour of a class, 0xFFRRGGBB, as the model's metadata have it; pale grey where they have none. */
    public int color(int number) {
        return number >= 0 && number < colors.length ? colors[number] : 0xFFEBEBEB;
    }

    /** Returns every class that occurs, the largest first, with its share of the pixels that have a class. */
    public List<Share> shares() {
        int[] counts = new int[OUTSIDE + 1];
        for (byte number : mask) {
            counts[number & 0xFF]++;
        }
        int all = mask.length - counts[OUTSIDE];
        List<Share> found = new ArrayList<>();
        for (int i = 0; i < OUTSIDE; i++) {
            if (counts[i] > 0) {
                String label = i < labels.size() ? labels.get(i) : Integer.toString(i);
                found.add(new Share(label, i, (double) counts[i] / all));
            }
        }
        found.sort((one, two) -> Integer.compare(counts[two.number], counts[one.number])); // stable
        return Collections.unmodifiableList(found);
    }

    /**
     * Returns the picture under its mask: pixels 0xFFRRGGBB, half of each and half of its class's colour. It stays as it is
     * where there is no class, and where the class is black: as a rule the background, which would be darkened.
     *
     * @param picture the one that was looked at
     * @throws IllegalArgumentException when it has another size
     */
    public int[] overlay(Picture picture) {
        if (picture.width() != width || picture.height() != height) {
            throw new IllegalArgumentException(
                    "The mask is of "
                            + width
                            + "x"
                            + height
                            + " pixels and the picture of "
                            + picture.width()
                            + "x"
                            + picture.height()
                            + ". Give the picture that was looked at.");
        }
        int[] pixels = new int[width * height];
        int[] row = new int[width];
        for (int y = 0, at = 0; y < height; y++) {
            picture.read(y, 0, width, row);
            for (int x = 0; x < width; x++, at++) {
                int number = mask[at] & 0xFF;
                int color = color(number) & 0xFFFFFF;
                pixels[at] = number == OUTSIDE || color == 0 ? row[x] | 0xFF000000 : half(row[x], color);
            }
        }
        return pixels;
    }

    /** Returns the mean of two colours, rounded down. */
    private static int half(int one, int two) {
        int redAndBlue = (one & 0xFF00FF) + (two & 0xFF00FF) >> 1 & 0xFF00FF;
        int green = (one & 0xFF00) + (two & 0xFF00) >> 1 & 0xFF00;
        return 0xFF000000 | redAndBlue | green;
    }
}
