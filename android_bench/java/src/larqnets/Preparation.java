package larqnets;

import java.nio.ByteBuffer;
import java.util.Arrays;

/** Brings pictures into the form of a network's input, as `larqnets run` does it, to the last bit. */
final class Preparation {
    private static final int GREY = 114; // the rest of the input, of a picture that is fitted into it
    private static final int BYTES = 256;

    private final Metadata metadata;
    private final boolean floats;
    private final float[][] real = new float[3][]; // channel and byte -> value
    private final byte[][] stored = new byte[3][]; // the same in the integers of the input

    /**
     * @throws IllegalArgumentException when the input is of another shape than the metadata say, or takes no such values
     */
    Preparation(Metadata metadata, Tensor input) {
        int[] wanted = {1, metadata.height, metadata.width, metadata.channels};
        boolean integers = (input.type == TensorType.INT8 || input.type == TensorType.UINT8) && input.scale > 0;
        if (!Arrays.equals(input.shape(), wanted) || !(integers || input.type == TensorType.FLOAT32)) {
            throw new IllegalArgumentException(
                    "The metadata are of images "
                            + Arrays.toString(wanted)
                            + ", and the model takes "
                            + input.typeAndShape()
                            + ". Give a model and the files that were written with it.");
        }
        this.metadata = metadata;
        floats = input.type == TensorType.FLOAT32;
        for (int c = 0; c < metadata.channels; c++) {
            real[c] = normalised(metadata.mean[c], metadata.std[c]);
            stored[c] = floats ? null : quantized(real[c], input);
        }
    }

    /** Writes the part of the picture that the network looks at to the values of its input, from the beginning of the buffer. */
    void prepare(Picture picture, View view, ByteBuffer input) {
        int channels = metadata.channels;
        Resampling small = new Resampling(view.height, view.width, view.rows, view.columns, channels);
        int[] pixels = new int[view.width];
        int[] values = new int[view.width * channels];
        for (int y = 0; y < view.height; y++) {
            picture.read(view.top + y, view.left, view.width, pixels);
            split(pixels, channels, values);
            small.add(y, values);
        }
        float[] ready = new float[metadata.width * channels];
        byte[] bytes = new byte[ready.length];
        for (int y = 0; y < metadata.height; y++) {
            int filled = y < view.rows ? view.columns * channels : 0;
            for (int i = 0; i < ready.length; i++) {
                int value = i < filled ? small.row(y)[i] : GREY;
                if (floats) {
                    ready[i] = real[i % channels][value];
                } else {
                    bytes[i] = stored[i % channels][value];
                }
            }
            if (floats) {
                ByteBuffer row = input.duplicate().order(input.order());
                row.position(y * ready.length * Float.BYTES);
                row.asFloatBuffer().put(ready);
            } else {
                ByteBuffer row = input.duplicate();
                row.position(y * bytes.length);
                row.put(bytes);
            }
        }
    }

    /** Splits pixels 0xAARRGGBB into red, green and blue, or makes grey of them as Pillow does it (ITU-R 601). */
    private static void split(int[] pixels, int channels, int[] values) {
        for (int i = 0, at = 0; i < pixels.length; i++) {
            int red = pixels[i] >> 16 & 0xFF;
            int green = pixels[i] >> 8 & 0xFF;
            int blue = pixels[i] & 0xFF;
            if (channels == 1) {
                values[at++] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
            } else {
                values[at++] = red;
                values[at++] = green;
                values[at++] = blue;
            }
        }
    }

    /** Returns (byte / 255 - mean) / std of every byte, in the float arithmetic of training. */
    private static float[] normalised(double mean, double std) {
        float scale = (float) (1 / (255 * std));
        float offset = (float) (-mean / std);
        float[] values = new float[BYTES];
        for (int i = 0; i < BYTES; i++) {
            values[i] = i * scale + offset; // Java rounds twice, as NumPy does
        }
        return values;
    }

    private static byte[] quantized(float[] values, Tensor input) {
        int least = input.type == TensorType.INT8 ? Byte.MIN_VALUE : 0;
        byte[] integers = new byte[values.length];
        for (int i = 0; i < values.length; i++) {
            double nearest = Math.rint((double) values[i] / (double) input.scale) + input.zeroPoint;
            integers[i] = (byte) Math.max(least, Math.min(least + BYTES - 1, nearest));
        }
        return integers;
    }
}
