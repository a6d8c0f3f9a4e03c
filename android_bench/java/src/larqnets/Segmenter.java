package larqnets;

import android.graphics.Bitmap;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;

/**
 * Says of every pixel of a picture what it shows.
 *
 * <pre>{@code
 * Assets files = Assets.open(context.getAssets(), "nuclei");
 * try (Segmenter segmenter = new Segmenter(files.model(), files.metadata())) {
 *     Segments found = segmenter.segment(bitmap);
 * }
 * }</pre>
 */
public final class Segmenter extends PictureModel {
    private static final int MOST_CLASSES = 255;

    private final List<String> labels;

    /** Loads a segmenter with the usual options. */
    public Segmenter(ByteBuffer model, Metadata metadata) {
        this(model, metadata, new Options());
    }

    /**
     * Loads a segmenter.
     *
     * @param model see {@link Interpreter#Interpreter(ByteBuffer, Options)}
     * @throws IllegalArgumentException as there, and when the model and the metadata are of no segmenter or do not fit
     * @throws IllegalStateException as there
     */
    public Segmenter(ByteBuffer model, Metadata metadata, Options options) {
        super(model, metadata, options, Metadata.SEGMENTATION);
        Tensor output = interpreter.outputs().get(0);
        int ofMask = metadata.labels.isEmpty() ? MOST_CLASSES : metadata.labels.size(); // it does not say how many there are
        labels = metadata.labels(output.rank() == 4 ? output.size(3) : ofMask);
    }

    @Override
    boolean understands(List<Tensor> outputs) {
        if (outputs.size() != 1 || outputs.get(0).bytes < 1) {
            return false;
        }
        Tensor output = outputs.get(0);
        switch (output.rank()) {
            case 3:
                return output.size(0) == 1 && output.type == TensorType.UINT8;
            case 4:
                boolean readable = Values.areReal(output) || output.type == TensorType.INT8;
                return output.size(0) == 1 && readable && output.size(3) > 1 && output.size(3) <= MOST_CLASSES;
            default:
                return false;
        }
    }

    /** Returns the names of the classes, by number. */
    public List<String> labels() {
        return labels;
    }

    /** Returns the classes of the pixels of a Bitmap; see {@link #segment(Picture)}. */
    public Segments segment(Bitmap bitmap) {
        return segment(Picture.of(bitmap));
    }

    /** Returns the classes of pixels 0xAARRGGBB; see {@link #segment(Picture)} and {@link Picture#of(int[], int, int)}. */
    public Segments segment(int[] argb, int width, int height) {
        return segment(Picture.of(argb, width, height));
    }

    /**
     * Returns the class of every pixel of a picture, in its own size.
     *
     * @throws IllegalStateException when it is closed or in use by another thread, when an op fails, when the network answers
     *     with NaN or infinite values, and when a mask of this size does not fit into memory
     */
    public Segments segment(Picture picture) {
        byte[] mask = outside(picture);
        return look(
                picture,
                view -> {
                    Tensor output = interpreter.outputs().get(0);
                    boolean isMask = output.rank() == 3;
                    fill(mask, picture.width(), view, metadata, output, isMask ? bytes(0) : null, isMask ? null : values(0));
                    return new Segments(mask, picture.width(), picture.height(), view, labels, metadata.colors);
                });
    }

    private static byte[] outside(Picture picture) {
        try {
            byte[] mask = new byte[picture.width() * picture.height()];
            Arrays.fill(mask, (byte) Segments.OUTSIDE);
            return mask;
        } catch (OutOfMemoryError error) {
            throw new IllegalStateException(
                    "A mask of "
                            + picture.width()
                            + "x"
                            + picture.height()
                            + " pixels does not fit into memory. Scale the picture down.",
                    error);
        }
    }

    /** Writes the classes of the part that is seen, of stored `classes` (h, w) or of `logits` (h, w, C): one of them is null. */
    static void fill(
            byte[] mask, int stride, View view, Metadata metadata, Tensor output, byte[] classes, float[] logits) {
        // What fills the rest of the input would lie beside the picture.
        int height = Math.max(view.height, beyond(view.height, metadata.height, view.rows));
        int width = Math.max(view.width, beyond(view.width, metadata.width, view.columns));
        int storedHeight = output.size(1);
        int storedWidth = output.size(2);
        Enlarging large =
                logits == null ? null : new Enlarging(logits, storedHeight, storedWidth, output.size(3), height, width);
        byte[] row = new byte[view.width];
        for (int y = 0; y < view.height; y++) {
            if (large == null) {
                int from = nearest(y, storedHeight, height) * storedWidth;
                for (int x = 0; x < view.width; x++) {
                    row[x] = classes[from + nearest(x, storedWidth, width)];
                }
            } else {
                large.largest(y, row);
            }
            System.arraycopy(row, 0, mask, (view.top + y) * stride + view.left, view.width);
        }
    }

    private static int nearest(int place, int have, int wanted) {
        return (int) ((2L * place + 1) * have / (2L * wanted));
    }

    private static int beyond(int side, int whole, int part) {
        return (int) Math.rint((double) ((long) side * whole) / part);
    }
}
