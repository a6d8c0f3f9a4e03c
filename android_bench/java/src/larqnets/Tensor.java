package larqnets;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Locale;

/**
 * An input or an output of a model.
 *
 * <p>Where {@link #scale} is not 0, its values are integers that stand for real ones: real = scale (stored - zeroPoint).
 */
public final class Tensor {
    /** What it is called in the file. */
    public final String name;

    /** The type of its values. */
    public final TensorType type;

    /** The real value of one step of the stored integers; 0 where the values stand for themselves. */
    public final float scale;

    /** The stored integer that stands for 0. */
    public final int zeroPoint;

    /** How many bytes all of its values take. */
    public final int bytes;

    private final int[] shape;

    Tensor(String name, TensorType type, int[] shape, float scale, int zeroPoint, long bytes) {
        if (bytes < 0 || bytes > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(
                    "The tensor " + name + " takes " + bytes + " bytes, and no buffer of Java has as many. Use a smaller model.");
        }
        this.name = name;
        this.type = type;
        this.shape = shape;
        this.scale = scale;
        this.zeroPoint = zeroPoint;
        this.bytes = (int) bytes;
    }

    /** Returns how many values it has along every dimension, such as (1, H, W, C); empty for a single value. */
    public int[] shape() {
        return shape.clone();
    }

    /** Returns how many dimensions it has. */
    int rank() {
        return shape.length;
    }

    /** Returns how many values it has along one dimension. */
    int size(int dimension) {
        return shape[dimension];
    }

    /** Returns a new direct buffer for its values, in the byte order of the processor. */
    public ByteBuffer allocate() {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }

    @Override
    public String toString() {
        return name + ": " + typeAndShape();
    }

    String typeAndShape() {
        return type.name().toLowerCase(Locale.ROOT) + " " + Arrays.toString(shape);
    }
}
