package larqnets;

import android.graphics.Bitmap;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * Says what a picture shows.
 *
 * <pre>{@code
 * Assets files = Assets.open(context.getAssets(), "digits");
 * try (Classifier classifier = new Classifier(files.model(), files.metadata())) {
 *     Answer best = classifier.classify(bitmap).get(0);
 * }
 * }</pre>
 */
public final class Classifier extends PictureModel {
    private static final int TOP = 3;

    private final List<String> labels;

    /** Loads a classifier with the usual options. */
    public Classifier(ByteBuffer model, Metadata metadata) {
        this(model, metadata, new Options());
    }

    /**
     * Loads a classifier.
     *
     * @param model see {@link Interpreter#Interpreter(ByteBuffer, Options)}
     * @throws IllegalArgumentException as there, and when the model and the metadata are of no classifier or do not fit
     * @throws IllegalStateException as there
     */
    public Classifier(ByteBuffer model, Metadata metadata, Options options) {
        super(model, metadata, options, Metadata.CLASSIFICATION);
        labels = metadata.labels(interpreter.outputs().get(0).size(1));
    }

    @Override
    boolean understands(List<Tensor> outputs) {
        if (outputs.size() != 1) {
            return false;
        }
        Tensor scores = outputs.get(0);
        return scores.rank() == 2 && scores.size(0) == 1 && scores.bytes > 0 && Values.areReal(scores);
    }

    /** Returns the names of the classes, by number. */
    public List<String> labels() {
        return labels;
    }

    /** Returns the three most probable classes of a Bitmap; see {@link #classify(Picture, int)}. */
    public List<Answer> classify(Bitmap bitmap) {
        return classify(Picture.of(bitmap), TOP);
    }

    /** Returns the three most probable classes of pixels 0xAARRGGBB; see {@link Picture#of(int[], int, int)}. */
    public List<Answer> classify(int[] argb, int width, int height) {
        return classify(Picture.of(argb, width, height), TOP);
    }

    /** Returns the three most probable classes; see {@link #classify(Picture, int)}. */
    public List<Answer> classify(Picture picture) {
        return classify(picture, TOP);
    }

    /**
     * Returns the most probable classes, the best first; of equal ones the lowest number comes first.
     *
     * @param top how many, at least 1
     * @throws IllegalArgumentException for a `top` below 1
     * @throws IllegalStateException when it is closed or in use by another thread, when an op fails, and when the network
     *     answers with NaN or infinite values
     */
    public List<Answer> classify(Picture picture, int top) {
        if (top < 1) {
            throw new IllegalArgumentException("top must be at least 1, not " + top + ".");
        }
        return look(picture, view -> best(values(0), metadata.output, labels, top));
    }

    static List<Answer> best(float[] scores, String kind, List<String> labels, int top) {
        float[] probabilities = kind.equals("logits") ? softmax(scores) : scores;
        List<Integer> order = new ArrayList<>();
        for (int i = 0; i < probabilities.length; i++) {
            order.add(i);
        }
        order.sort((one, two) -> Float.compare(probabilities[two], probabilities[one])); // stable
        List<Answer> found = new ArrayList<>();
        for (int number : order.subList(0, Math.min(top, order.size()))) {
            found.add(new Answer(labels.get(number), number, probabilities[number]));
        }
        return Collections.unmodifiableList(found);
    }

    private static float[] softmax(float[] scores) {
        double largest = Double.NEGATIVE_INFINITY;
        for (float score : scores) {
            largest = Math.max(largest, score);
        }
        double sum = 0;
        double[] powers = new double[scores.length];
        for (int i = 0; i < scores.length; i++) {
            powers[i] = Math.exp(scores[i] - largest);
            sum += powers[i];
        }
        float[] probabilities = new float[scores.length];
        for (int i = 0; i < scores.length; i++) {
            probabilities[i] = (float) (powers[i] / sum);
        }
        return probabilities;
    }
}
