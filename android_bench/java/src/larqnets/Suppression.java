package larqnets;

import java.util.ArrayList;
import java.util.List;

/**
 * Of boxes that mean the same thing the best one, class by class (non-maximum suppression), in the float arithmetic of
 * larqnets.tasks.box_answers.
 */
final class Suppression {
    private final float score;
    private final float iou;
    private final int maxPerClass;
    private final int max;

    Suppression(double score, double iou, int maxPerClass, int max) {
        this.score = (float) between("score", score);
        this.iou = (float) between("iou", iou);
        this.maxPerClass = maxPerClass;
        this.max = max;
    }

    private static double between(String name, double value) {
        if (!(value > 0 && value < 1)) {
            throw new IllegalArgumentException(name + " must lie between 0 and 1, and is " + value + ". Give one such as 0.5.");
        }
        return value;
    }

    /** A box relative to the image that the network sees, of one class. */
    static final class Candidate {
        final float top;
        final float left;
        final float bottom;
        final float right;
        final float score;
        final int number;

        Candidate(float[] boxes, int place, float score, int number) {
            top = inside(boxes[4 * place]);
            left = inside(boxes[4 * place + 1]);
            bottom = inside(boxes[4 * place + 2]);
            right = inside(boxes[4 * place + 3]);
            this.score = score;
            this.number = number;
        }

        private static float inside(float side) {
            return Math.max(0, Math.min(1, side));
        }

        float area() {
            return (bottom - top) * (right - left);
        }

        float overlap(Candidate other) {
            float height = Math.max(Math.min(bottom, other.bottom) - Math.max(top, other.top), 0);
            float width = Math.max(Math.min(right, other.right) - Math.max(left, other.left), 0);
            float both = height * width;
            float either = area() + other.area() - both;
            return either > 0 ? both / either : 0;
        }
    }

    /**
     * Returns the best boxes, the surest first.
     *
     * @param boxes (places, 4), [ymin, xmin, ymax, xmax], finite
     * @param scores (places, classes), finite
     */
    List<Candidate> best(float[] boxes, float[] scores, int classes) {
        List<Candidate> rest = new ArrayList<>();
        for (int i = 0; i < scores.length; i++) {
            if (scores[i] > score) {
                Candidate candidate = new Candidate(boxes, i / classes, scores[i], i % classes);
                if (candidate.bottom > candidate.top && candidate.right > candidate.left) {
                    rest.add(candidate);
                }
            }
        }
        rest.sort((one, two) -> Float.compare(two.score, one.score)); // stable: equal ones by place, then by class
        List<Candidate> kept = new ArrayList<>();
        int[] taken = new int[classes];
        for (int i = 0; i < rest.size() && kept.size() < max; i++) {
            Candidate candidate = rest.get(i);
            if (taken[candidate.number] < maxPerClass && isNew(candidate, kept)) {
                kept.add(candidate);
                taken[candidate.number]++;
            }
        }
        return kept;
    }

    private boolean isNew(Candidate candidate, List<Candidate> kept) {
        for (Candidate better : kept) {
            if (better.number == candidate.number && better.overlap(candidate) > iou) {
                return false;
            }
        }
        return true;
    }
}
