package larqnets;

import java.nio.ByteBuffer;

/** Real values of tensors that hold them as floats or as integers with a scale. */
final class Values {
    private Values() {}

    /** Whether the values of a tensor are read as real ones. */
    static boolean areReal(Tensor tensor) {
        switch (tensor.type) {
            case FLOAT32:
                return true;
            case INT8:
            case UINT8:
                return tensor.scale > 0;
            default:
                return false;
        }
    }

    /** Returns real = scale (stored - zero point) of all values, of a tensor of 8-bit integers without a scale these. */
    static float[] real(Tensor tensor, ByteBuffer stored) {
        float[] values = new float[tensor.bytes / tensor.type.bytes];
        if (tensor.type == TensorType.FLOAT32) {
            stored.asFloatBuffer().get(values);
            return values;
        }
        int mask = tensor.type == TensorType.UINT8 ? 0xFF : -1;
        for (int i = 0; i < values.length; i++) {
            int integer = stored.get(i) & mask;
            values[i] = tensor.scale > 0 ? (float) ((double) (integer - tensor.zeroPoint) * tensor.scale) : integer;
        }
        return values;
    }
}
