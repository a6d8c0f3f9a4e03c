package larqnets;

import java.io.IOException;
import java.io.Reader;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Properties;

/**
 * What `larqnets convert --app` wrote beside a model: what it answers with, and how pictures are prepared for it.
 *
 * <p>The types and shapes of its tensors are not here: the file itself says them.
 */
public final class Metadata {
    static final String CLASSIFICATION = "classification";
    static final String SEGMENTATION = "segmentation";
    static final String DETECTION = "detection";
    static final String CROP = "crop";
    static final String WARP = "warp";
    static final String LETTERBOX = "letterbox";

    private static final String FORMAT = "1";

    /** What the model was called where it was made. */
    public final String source;

    /** classification, segmentation or detection. */
    public final String task;

    /** Height to which pictures are brought, in pixels. */
    public final int height;

    /** Width to which pictures are brought, in pixels. */
    public final int width;

    /** 1 for grey, 3 for red, green and blue. */
    public final int channels;

    /**
     * How a picture of another shape is brought to that size: crop (its central part), warp (all of it, its shape lost) or
     * letterbox (all of it, the rest grey).
     */
    public final String resize;

    /** The part of the largest central crop that is looked at, above 0, at most 1. */
    public final double cropFraction;

    /** What the first output holds: logits, softmax, sigmoid or mask. */
    public final String output;

    /** Names of the classes; of those of a mask there may be none. */
    public final List<String> labels;

    /** Colours of the classes of a segmenter, 0xFFRRGGBB; empty for others. */
    final int[] colors;

    final double[] mean;
    final double[] std;

    /** Of a detector: from which overlap on (IoU) boxes of a class are one thing; 0 of others. */
    public final double iou;

    /** Of a detector: the score above which a box is told; 0 of others. */
    public final double score;

    final int maxPerClass;
    final int max;

    private Metadata(Entries entries, List<String> labels) {
        entries.oneOf("format", FORMAT);
        this.labels = labels;
        source = entries.text("source");
        task = entries.oneOf("task", CLASSIFICATION, SEGMENTATION, DETECTION);
        height = entries.whole("image.height", 1, 1 << 15);
        width = entries.whole("image.width", 1, 1 << 15);
        channels = Integer.parseInt(entries.oneOf("image.channels", "1", "3"));
        mean = entries.numbers("image.mean", channels);
        std = entries.numbers("image.std", channels);
        resize = entries.oneOf("image.resize", CROP, WARP, LETTERBOX);
        cropFraction = entries.number("image.crop_fraction", 0, 1);
        output = entries.oneOf("output", "logits", "softmax", "sigmoid", "mask");
        boolean boxes = task.equals(DETECTION);
        if (boxes) {
            entries.oneOf("boxes", "ymin_xmin_ymax_xmax_relative");
        }
        colors = task.equals(SEGMENTATION) ? entries.colors("colors") : new int[0];
        iou = boxes ? entries.number("nms.iou", 0, 1) : 0;
        score = boxes ? entries.number("nms.score", 0, 1) : 0;
        maxPerClass = boxes ? entries.whole("nms.max_per_class", 1, 10_000) : 0;
        max = boxes ? entries.whole("nms.max", 1, 10_000) : 0;
    }

    /**
     * Reads the two files.
     *
     * @param properties NAME.properties, UTF-8
     * @param labels NAME.labels.txt, UTF-8, a label on every line
     * @throws IOException when they cannot be read
     * @throws IllegalArgumentException when they are not what `larqnets convert --app` writes
     */
    public static Metadata read(Reader properties, Reader labels) throws IOException {
        Properties read = new Properties();
        read.load(properties); // IllegalArgumentException for a damaged escape
        return new Metadata(new Entries(read), lines(labels));
    }

    /** Returns the lines, each of which ends with a newline; only that ends one, since a label may hold anything else. */
    private static List<String> lines(Reader reader) throws IOException {
        StringBuilder text = new StringBuilder();
        char[] part = new char[4096];
        for (int n = reader.read(part); n >= 0; n = reader.read(part)) {
            text.append(part, 0, n);
        }
        List<String> found = new ArrayList<>();
        int start = 0;
        for (int end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
            found.add(text.substring(start, end));
            start = end + 1;
        }
        if (start < text.length()) {
            throw new IllegalArgumentException(
                    "The last line of the labels is cut off. Write the files again: larqnets convert --app.");
        }
        return Collections.unmodifiableList(found);
    }

    /** Returns the names of so many classes, their numbers where there are not as many labels. */
    List<String> labels(int classes) {
        if (labels.size() == classes) {
            return labels;
        }
        List<String> numbers = new ArrayList<>();
        for (int i = 0; i < classes; i++) {
            numbers.add(Integer.toString(i));
        }
        return Collections.unmodifiableList(numbers);
    }
}
