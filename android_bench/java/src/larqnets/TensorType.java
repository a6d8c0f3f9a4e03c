package larqnets;

/** What the values of a tensor are, and how many bytes one takes. */
public enum TensorType {
    FLOAT32(1, 4),
    INT32(2, 4),
    UINT8(3, 1),
    INT64(4, 8),
    BOOL(6, 1),
    INT16(7, 2),
    INT8(9, 1),
    FLOAT16(10, 2),
    FLOAT64(11, 8),
    UINT64(13, 8),
    UINT32(16, 4),
    UINT16(17, 2);

    /** Bytes of one value. */
    public final int bytes;

    private final int number;

    TensorType(int number, int bytes) {
        this.number = number;
        this.bytes = bytes;
    }

    /** Returns the type with TensorFlow Lite's number; IllegalArgumentException for texts and others without a fixed size. */
    static TensorType of(long number) {
        for (TensorType type : values()) {
            if (type.number == number) {
                return type;
            }
        }
        throw new IllegalArgumentException(
                "The model has a tensor of TensorFlow Lite's type "
                        + number
                        + ", which is not read here. Convert it again without it.");
    }
}
