package larqnets;

import android.graphics.Bitmap;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.List;

/** What models answer with: arguments are the file of cases, that of results and the folder of assets, see test_app_java.py. */
final class Answers extends Cases {
    private final Path path;
    private final FolderAssets folder;

    private Answers(String cases, String results, String assets) throws IOException {
        super(cases, results);
        path = Paths.get(assets);
        folder = new FolderAssets(assets);
    }

    public static void main(String[] arguments) throws IOException {
        try (Answers answers = new Answers(arguments[0], arguments[1], arguments[2])) {
            answers.all();
        }
    }

    @Override
    void one(String kind) throws IOException {
        String name = text();
        Options options = new Options().threads(in.readInt()).xnnpack(in.readInt() == 1);
        if (kind.equals("tensors")) {
            tensors(Checks.direct(Files.readAllBytes(path.resolve(name + ".tflite"))), options);
            return;
        }
        Assets files = Assets.open(folder, name);
        int width = in.readInt();
        int height = in.readInt();
        int orientation = in.readInt();
        int[] pixels = pixels(width * height);
        Bitmap bitmap = new ArrayBitmap(pixels, width, height, Bitmap.Config.HARDWARE);
        Picture picture = Picture.of(pixels, width, height).upright(orientation);
        Picture other = Picture.of(bitmap).upright(orientation);
        boolean upright = orientation == 1; // then there are shorter ways to the same answer
        switch (kind) {
            case "classify":
                try (Classifier classifier = new Classifier(files.model(), files.metadata(), options)) {
                    List<Answer> found = classifier.classify(picture);
                    same(found, upright ? classifier.classify(bitmap) : classifier.classify(other));
                    same(found, upright ? classifier.classify(pixels, width, height) : found);
                    answers(found);
                    timing(classifier);
                }
                break;
            case "segment":
                try (Segmenter segmenter = new Segmenter(files.model(), files.metadata(), options)) {
                    Segments found = segmenter.segment(picture);
                    same(found.mask, (upright ? segmenter.segment(bitmap) : segmenter.segment(other)).mask);
                    same(found.mask, (upright ? segmenter.segment(pixels, width, height) : found).mask);
                    bytes(found.mask);
                    timing(segmenter);
                }
                break;
            case "detect":
                try (Detector detector = new Detector(files.model(), files.metadata(), options)) {
                    List<Box> found = detector.detect(picture);
                    same(found, upright ? detector.detect(bitmap) : detector.detect(other));
                    same(found, upright ? detector.detect(pixels, width, height) : found);
                    boxes(found);
                    timing(detector);
                }
                break;
            default:
                throw new IOException("no case " + kind);
        }
    }

    /** Values of every input, and of every output what it is and its values. */
    private void tensors(ByteBuffer model, Options options) throws IOException {
        try (Interpreter interpreter = new Interpreter(model, options)) {
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

    private static void same(List<?> one, List<?> other) throws IOException {
        if (!one.toString().equals(other.toString())) {
            throw new IOException("one picture has two answers: " + one + " and " + other);
        }
    }

    private static void same(byte[] one, byte[] other) throws IOException {
        if (!Arrays.equals(one, other)) {
            throw new IOException("one picture has two masks");
        }
    }
}
