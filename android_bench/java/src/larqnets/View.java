package larqnets;

/**
 * Which part of an upright picture a network looks at, and which part of its input that fills.
 *
 * <p>The part is `height` x `width` pixels of the picture from (`top`, `left`) on; it becomes `rows` x `columns` pixels at the
 * top left of the input, which is all of it but for letterbox. The same numbers as larqnets.data.image has.
 */
final class View {
    final int top;
    final int left;
    final int height;
    final int width;
    final int rows;
    final int columns;

    View(int pictureHeight, int pictureWidth, Metadata to) {
        boolean crops = to.resize.equals(Metadata.CROP);
        height = crops ? part(pictureHeight, (double) pictureWidth * to.height / to.width, to.cropFraction) : pictureHeight;
        width = crops ? part(pictureWidth, (double) pictureHeight * to.width / to.height, to.cropFraction) : pictureWidth;
        top = (pictureHeight - height) / 2;
        left = (pictureWidth - width) / 2;
        boolean fits = to.resize.equals(Metadata.LETTERBOX);
        rows = fits ? part(to.height, (double) pictureHeight * to.width / pictureWidth, 1) : to.height;
        columns = fits ? part(to.width, (double) pictureWidth * to.height / pictureHeight, 1) : to.width;
    }

    /** Returns the smaller of a side and what the other side allows, times a fraction: rounded, at least 1. */
    private static int part(int side, double other, double fraction) {
        return Math.max(1, (int) Math.floor(Math.min(side, other) * fraction + 0.5));
    }
}
