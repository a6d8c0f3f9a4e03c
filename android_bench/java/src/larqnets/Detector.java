package larqnets;

import android.graphics.Bitmap;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * Says what is where in a picture.
 *
 * <pre>{@code
 * Assets files = Assets.open(context.getAssets(), "bccd");
 * try (Detector detector = new Detector(files.model(), files.metadata())) {
 *     List<Box> found = detector.detect(bitmap);
 * }
 * }</pre>
 */
public final class Detector extends PictureModel {
    private static final int BOXES = 0; // which output: `larqnets convert --app` refuses files that have them otherwise
    private static final int SCORES = 1;

    private final List<String> labels;
    private final Suppression suppression;

    /** Loads a detector with the usual options and the file's thresholds. */
    public Detector(ByteBuffer model, Metadata metadata) {
        this(model, metadata, new Options());
    }

    /** Loads a detector with the file's thresholds; see {@link #Detector(ByteBuffer, Metadata, Options, double, double)}. */
    public Detector(ByteBuffer model, Metadata metadata, Options options) {
        this(model, metadata, options, metadata.score, metadata.iou);
    }

    /**
     * Loads a detector.
     *
     * @param model see {@link Interpreter#Interpreter(ByteBuffer, Options)}
     * @param score a box is told when its score is above this, between 0 and 1; {@link Metadata#score} is the file's
     * @param iou boxes of a class are one thing when they overlap by more than this, between 0 and 1: the area of both divided by
     *     that of either; {@link Metadata#iou} is the file's
     * @throws IllegalArgumentException as there, for other thresholds, and when the model and the metadata are of no detector or
     *     do not fit
     * @throws IllegalStateException as there
     */
    public Detector(ByteBuffer model, Metadata metadata, Options options, double score, double iou) {
        super(model, metadata, options, Metadata.DETECTION);
        boolean whole = false;
        try {
            labels = metadata.labels(interpreter.outputs().get(SCORES).size(2));
            suppression = new Suppression(score, iou, metadata.maxPerClass, metadata.max);
            whole = true;
        } finally {
            if (!whole) {
                close();
            }
        }
    }

    @Override
    boolean understands(List<Tensor> outputs) {
        if (outputs.size() != 2) {
            return false;
        }
        Tensor boxes = outputs.get(BOXES);
        Tensor scores = outputs.get(SCORES);
        boolean fit = boxes.rank() == 3 && scores.rank() == 3 && boxes.size(2) == 4 && boxes.size(1) == scores.size(1);
        boolean one = fit && boxes.size(0) == 1 && scores.size(0) == 1 && scores.bytes > 0;
        return one && Values.areReal(boxes) && Values.areReal(scores);
    }

    /** Returns the names of the classes, by number. */
    public List<String> labels() {
        return labels;
    }

    /** Returns what is in a Bitmap; see {@link #detect(Picture)}. */
    public List<Box> detect(Bitmap bitmap) {
        return detect(Picture.of(bitmap));
    }

    /** Returns what is in pixels 0xAARRGGBB; see {@link #detect(Picture)} and {@link Picture#of(int[], int, int)}. */
    public List<Box> detect(int[] argb, int width, int height) {
        return detect(Picture.of(argb, width, height));
    }

    /**
     * Returns the things in a picture, the surest first, their boxes in its pixels; none when nothing is found.
     *
     * @throws IllegalStateException when it is closed or in use by another thread, when an op fails, and when the network
     *     answers with NaN or infinite values
     */
    public List<Box> detect(Picture picture) {
        return look(picture, view -> found(values(BOXES), values(SCORES), suppression, labels, view, metadata, picture));
    }

    static List<Box> found(
            float[] boxes,
            float[] scores,
            Suppression suppression,
            List<String> labels,
            View view,
            Metadata metadata,
            Picture picture) {
        List<Box> found = new ArrayList<>();
        for (Suppression.Candidate each : suppression.best(boxes, scores, labels.size())) {
            double[] sides = located(each, view, metadata, picture);
            if (sides[2] > sides[0] && sides[3] > sides[1]) { // else it lies beside the picture
                found.add(new Box(labels.get(each.number), each.number, each.score, sides));
            }
        }
        return Collections.unmodifiableList(found);
    }

    /** Returns left, top, right and bottom in pixels of the picture, to two digits, cut off at its sides. */
    private static double[] located(Suppression.Candidate box, View view, Metadata metadata, Picture picture) {
        double down = (double) view.height / view.rows * metadata.height;
        double across = (double) view.width / view.columns * metadata.width;
        return new double[] {
            inside(box.left * across + view.left, picture.width()),
            inside(box.top * down + view.top, picture.height()),
            inside(box.right * across + view.left, picture.width()),
            inside(box.bottom * down + view.top, picture.height())
        };
    }

    private static double inside(double place, int side) {
        return Math.rint(Math.max(0, Math.min(side, place)) * 100) / 100;
    }
}
