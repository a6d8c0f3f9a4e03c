package larqnets;

import java.nio.ByteBuffer;
import java.util.List;

/**
 * What {@link Classifier}, {@link Segmenter} and {@link Detector} have in common: a model that is given pictures.
 *
 * <p>As an {@link Interpreter} it belongs to one thread at a time and holds memory until {@link #close}. A call takes
 * milliseconds to seconds: make it on a thread of its own, not on that of the user interface.
 */
public abstract class PictureModel implements AutoCloseable {
    final Interpreter interpreter;
    final Metadata metadata;
    private final Preparation preparation;
    private final ByteBuffer[] inputs;
    private final ByteBuffer[] results;
    private Timing timing = new Timing(0, 0, 0);

    PictureModel(ByteBuffer model, Metadata metadata, Options options, String task) {
        if (!metadata.task.equals(task)) {
            throw new IllegalArgumentException(
                    "The task of " + metadata.source + " is " + metadata.task + ", not " + task + ". Use the class of its task.");
        }
        this.metadata = metadata;
        interpreter = new Interpreter(model, options);
        boolean whole = false;
        try {
            List<Tensor> taken = interpreter.inputs();
            if (taken.size() != 1 || !understands(interpreter.outputs())) {
                throw new IllegalArgumentException(
                        metadata.source
                                + " is for no "
                                + task
                                + ": its inputs are "
                                + taken
                                + " and its outputs "
                                + interpreter.outputs()
                                + ". Give a model and the files that were written with it, or use Interpreter.");
            }
            preparation = new Preparation(metadata, taken.get(0));
            inputs = buffers(taken);
            results = buffers(interpreter.outputs());
            whole = true;
        } finally {
            if (!whole) {
                interpreter.close();
            }
        }
    }

    /** Whether such outputs are what the task answers with. */
    abstract boolean understands(List<Tensor> outputs);

    /** What is made of the outputs; runs while no other thread may. */
    interface Decoder<T> {
        T decode(View view);
    }

    /** Returns what is made of the answers for a picture. */
    <T> T look(Picture picture, Decoder<T> decoder) {
        interpreter.take();
        try {
            long started = System.nanoTime();
            View view = new View(picture.height(), picture.width(), metadata);
            preparation.prepare(picture, view, inputs[0]);
            long prepared = System.nanoTime();
            interpreter.invoke(inputs, results);
            long ran = System.nanoTime();
            T found = decoder.decode(view);
            timing = new Timing(prepared - started, ran - prepared, System.nanoTime() - ran);
            return found;
        } catch (OutOfMemoryError error) {
            throw new IllegalStateException(
                    "There is no memory for a picture of "
                            + picture.width()
                            + "x"
                            + picture.height()
                            + " pixels and its answer. Scale it down, or close models that are not needed.",
                    error);
        } finally {
            interpreter.leave();
        }
    }

    /** Returns the real values of an output of the last run; IllegalStateException where one is NaN or infinite. */
    float[] values(int output) {
        float[] found = Values.real(interpreter.outputs().get(output), results[output]);
        for (float value : found) {
            if (Float.isNaN(value) || Float.isInfinite(value)) {
                throw new IllegalStateException(
                        "The model's outputs for the picture are NaN or infinite. Train the model again.");
            }
        }
        return found;
    }

    /** Returns the bytes of an output of the last run. */
    byte[] bytes(int output) {
        byte[] found = new byte[results[output].capacity()];
        results[output].duplicate().get(found);
        return found;
    }

    /** Returns what the files beside the model say. */
    public Metadata metadata() {
        return metadata;
    }

    /** Returns what runs the model: its tensors, and how long the network of the last call took. */
    public Interpreter interpreter() {
        return interpreter;
    }

    /** Returns how long the last call took that gave an answer; zeros before the first. */
    public Timing timing() {
        return timing;
    }

    /**
     * Frees the model. Nothing else works afterwards; a second call does nothing.
     *
     * @throws IllegalStateException while another thread uses it
     */
    @Override
    public void close() {
        interpreter.close();
    }

    private static ByteBuffer[] buffers(List<Tensor> tensors) {
        return tensors.stream().map(Tensor::allocate).toArray(ByteBuffer[]::new);
    }
}
