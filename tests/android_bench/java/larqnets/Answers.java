package larqnets;

import android.graphics.Bitmap;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** What models answer with: arguments are the file of cases, that of results and the folder of assets, see test_app_java.py. */
final class Answers extends Cases {
    private final FolderAssets folder;

    private Answers(String cases, String results, String assets) throws IOException {
        super(cases, results);
        folder = new FolderAssets(assets);
    }

    public static void main(String[] arguments) throws IOException {
        try (Answers answers = new Answers(arguments[0], arguments[1], arguments[2])) {
            answers.all();
        }
    }

    @Override
    void one(String kind) throws IOException {
        Assets files = Assets.open(folder, text());
        Options options = new Options().threads(in.readInt()).xnnpack(in.readInt() == 1);
        if (kind.equals("tensors")) {
            tensors(files, options);
            return;
        }
        int width = in.readInt();
        int height = in.readInt();
        int orientation = in.readInt();
        int[] pixels = pixels(width * height);
        Bitmap bitmap = new ArrayBitmap(pixels, width, height, Bitmap.Config.HARDWARE);
        // The same picture by each of the three ways must be given the same answer.
        List<Picture> pictures = new ArrayList<>(Arrays.asList(Picture.of(pixels, width, height).upright(orientation)));
        pictures.add(Picture.of(bitmap).upright(orientation));
        boolean upright = orientation == 1;
        switch (kind) {
            case "classify":
                try (Classifier classifier = new Classifier(files.model(), files.metadata(), options)) {
                    answers(same(classifier.classify(pictures.get(0)), classifier.classify(pictures.get(1))));
                    same(classifier.classify(pictures.get(0)), upright ? classifier.classify(pixels, width, height) : null);
                    same(classifier.classify(pictures.get(0)), upright ? classifier.classify(bitmap) : null);
                    timing(classifier);
                }
                break;
            case "segment":
                try (Segmenter segmenter = new Segmenter(files.model(), files.metadata(), options)) {
                    byte[] mask = segmenter.segment(pictures.get(0)).mask;
                    List<byte[]> others = new ArrayList<>(Arrays.asList(segmenter.segment(pictures.get(1)).mask));
                    if (upright) {
                        others.add(segmenter.segment(pixels, width, height).mask);
                        others.add(segmenter.segment(bitmap).mask);
                    }
                    if (!others.stream().allMatch(other -> Arrays.equals(mask, other))) {
                        throw new IOException("one picture has two masks");
                    }
                    bytes(mask);
                    timing(segmenter);
                }
                break;
            case "detect":
                try (Detector detector = new Detector(files.model(), files.metadata(), options)) {
                    boxes(same(detector.detect(pictures.get(0)), detector.detect(pictures.get(1))));
                    same(detector.detect(pictures.get(0)), upright ? detector.detect(pixels, width, height) : null);
                    same(detector.detect(pictures.get(0)), upright ? detector.detect(bitmap) : null);
                    timing(detector);
                }
                break;
            default:
                throw new IOException("no case " + kind);
        }
    }

    /** Values of every input, and of every output what it is and its values. */
    private void tensors(Assets files, Options options) throws IOException {
        try (Interpreter interpreter = new Interpreter(files.model(), options)) {
            ByteBuffer[] inputs = new ByteBuffer[interpreter.inputs().size()];
            for (int i = 0; i < inputs.length; i++) {
                byte[] values = bytes();
                // Not at the beginning of their buffer, and in one of their own order.
                inputs[i] = ByteBuffer.allocateDirect(values.length + 24).order(ByteOrder.nativeOrder());
                inputs[i].position(8);
                inputs[i].put(values).flip().position(8);
            }
            ByteBuffer[] outputs = interpreter.outputs().stream().map(Tensor::allocate).toArray(ByteBuffer[]::new);
            interpreter.run(inputs, outputs);
            if (interpreter.nanoseconds() <= 0) {
                throw new IOException("no time passed");
            }
            out.writeInt(outputs.length);
            for (int i = 0; i < outputs.length; i++) {
                Tensor tensor = interpreter.outputs().get(i);
                byte[] values = new byte[tensor.bytes];
                outputs[i].get(values);
                text(tensor.typeAndShape());
                bytes(values);
            }
        }
    }

    private static void timing(PictureModel model) throws IOException {
        Timing timing = model.timing();
        if (timing.prepare <= 0 || timing.run <= 0 || timing.answer <= 0 || timing.milliseconds() <= 0) {
            throw new IOException("no time passed: " + timing);
        }
        if (model.interpreter().nanoseconds() > timing.run) {
            throw new IOException("the network took longer than its run");
        }
    }

    private static <T> List<T> same(List<T> one, List<T> other) throws IOException {
        if (other != null && !one.toString().equals(other.toString())) {
            throw new IOException("one picture has two answers: " + one + " and " + other);
        }
        return one;
    }
}
