package larqnets;

import android.graphics.Bitmap;

/**
 * Pixels of any size, as they are shown.
 *
 * <p>Only looks at them: they must stay as they are as long as the picture is used. Of a Bitmap no copy is made, unless it
 * lies on the graphics processor. Alpha is dropped, as `larqnets run` does it; a Bitmap forgets the colour of pixels that
 * are wholly transparent.
 */
public final class Picture {
    private static final int UPRIGHT = 1;

    /** Where the stored pixels come from: `count` of them from (x, y) on along a row or, `down`, along a column. */
    private interface Source {
        void read(int x, int y, int count, boolean down, int[] into);
    }

    /** Columns of a Bitmap are fetched many at once: one alone costs nearly as much. */
    private static final class BitmapSource implements Source {
        private static final int COLUMNS = 64;

        private final Bitmap bitmap;
        private int[] block = new int[0]; // columns from `left` on, of the rows from `top` on
        private int left;
        private int top;
        private int columns;

        BitmapSource(Bitmap bitmap) {
            this.bitmap = bitmap;
        }

        @Override
        public synchronized void read(int x, int y, int count, boolean down, int[] into) {
            if (!down) {
                bitmap.getPixels(into, 0, count, x, y, count, 1);
                return;
            }
            if (x < left || x >= left + columns || y != top || block.length != columns * count) {
                int first = x - x % COLUMNS;
                int number = Math.min(COLUMNS, bitmap.getWidth() - first);
                int[] fetched = new int[number * count];
                bitmap.getPixels(fetched, 0, number, first, y, number, count); // throws for one that was recycled meanwhile
                left = first;
                top = y;
                columns = number;
                block = fetched;
            }
            for (int i = 0; i < count; i++) {
                into[i] = block[i * columns + x - left];
            }
        }
    }

    private final Source source;
    private final int storedWidth;
    private final int storedHeight;
    private final int orientation; // EXIF's

    private Picture(Source source, int storedWidth, int storedHeight, int orientation) {
        this.source = source;
        this.storedWidth = storedWidth;
        this.storedHeight = storedHeight;
        this.orientation = orientation;
    }

    /**
     * Returns a picture of pixels.
     *
     * @param argb pixels 0xAARRGGBB, row by row, width x height of them
     * @throws IllegalArgumentException when there are none or not as many
     */
    public static Picture of(int[] argb, int width, int height) {
        checkSize(width, height);
        if (argb.length != (long) width * height) {
            throw new IllegalArgumentException(
                    "A picture of "
                            + width
                            + "x"
                            + height
                            + " pixels needs "
                            + (long) width * height
                            + " of them, and there are "
                            + argb.length
                            + ". Give its own width and height.");
        }
        Source rows = (x, y, count, down, into) -> {
            int first = y * width + x;
            if (down) {
                for (int i = 0; i < count; i++) {
                    into[i] = argb[first + i * width];
                }
            } else {
                System.arraycopy(argb, first, into, 0, count);
            }
        };
        return new Picture(rows, width, height, UPRIGHT);
    }

    /**
     * Returns the picture of a Bitmap. BitmapFactory does not turn photos upright: see {@link #rotated} and {@link #upright}.
     *
     * @throws IllegalArgumentException when it has no pixels or is recycled
     */
    public static Picture of(Bitmap bitmap) {
        if (bitmap.isRecycled()) {
            throw new IllegalArgumentException("The bitmap is recycled. Give one that still has its pixels.");
        }
        checkSize(bitmap.getWidth(), bitmap.getHeight());
        Bitmap readable =
                bitmap.getConfig() == Bitmap.Config.HARDWARE ? bitmap.copy(Bitmap.Config.ARGB_8888, false) : bitmap;
        if (readable == null) {
            throw new IllegalArgumentException("The hardware bitmap cannot be copied. Decode it without Config.HARDWARE.");
        }
        return new Picture(new BitmapSource(readable), bitmap.getWidth(), bitmap.getHeight(), UPRIGHT);
    }

    /**
     * Returns the picture turned clockwise, as CameraX's ImageInfo.getRotationDegrees() says it of a frame.
     *
     * @param degrees 0, 90, 180 or 270
     * @throws IllegalArgumentException for others, and of a picture that was turned already
     */
    public Picture rotated(int degrees) {
        switch (degrees) {
            case 0:
                return upright(UPRIGHT);
            case 90:
                return upright(6);
            case 180:
                return upright(3);
            case 270:
                return upright(8);
            default:
                throw new IllegalArgumentException("A picture is turned by 0, 90, 180 or 270 degrees, not by " + degrees + ".");
        }
    }

    /**
     * Returns the picture upright, whose pixels are stored as EXIF's orientation says.
     *
     * @param exifOrientation 1 (upright) to 8, as ExifInterface.TAG_ORIENTATION has it; 0, undefined, is upright
     * @throws IllegalArgumentException for others, and of a picture that was turned already
     */
    public Picture upright(int exifOrientation) {
        if (exifOrientation < 0 || exifOrientation > 8) {
            throw new IllegalArgumentException("EXIF knows the orientations 1 to 8, and this is " + exifOrientation + ".");
        }
        if (orientation != UPRIGHT) {
            throw new IllegalArgumentException("The picture was turned already. Turn the one that was made of the pixels.");
        }
        return new Picture(source, storedWidth, storedHeight, Math.max(UPRIGHT, exifOrientation));
    }

    /** Returns the width of the upright picture in pixels. */
    public int width() {
        return orientation >= 5 ? storedHeight : storedWidth;
    }

    /** Returns the height of the upright picture in pixels. */
    public int height() {
        return orientation >= 5 ? storedWidth : storedHeight;
    }

    /** Writes `count` pixels of a row of the upright picture, from the column `left` on, to the beginning of `into`. */
    void read(int row, int left, int count, int[] into) {
        boolean down = orientation >= 5; // its rows are the stored columns
        // EXIF: the first row is shown at the bottom or at the right, the first column at the right or at the bottom.
        boolean rowsFlip = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
        boolean columnsFlip = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
        int across = rowsFlip ? height() - 1 - row : row;
        int along = columnsFlip ? width() - left - count : left;
        source.read(down ? across : along, down ? along : across, count, down, into);
        for (int i = 0, j = count - 1; columnsFlip && i < j; i++, j--) {
            int first = into[i];
            into[i] = into[j];
            into[j] = first;
        }
    }

    private static void checkSize(int width, int height) {
        if (width < 1 || height < 1) {
            throw new IllegalArgumentException(
                    "A picture of " + width + "x" + height + " pixels shows nothing. Give one with at least one pixel.");
        }
        if ((long) width * height > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(
                    "A picture of " + width + "x" + height + " pixels is too large. Scale it down.");
        }
    }
}
