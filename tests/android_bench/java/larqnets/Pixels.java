package larqnets;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;

/** What is done without a model, case by case: arguments are the file of cases and that of results, see test_app_pixels.py. */
final class Pixels extends Cases {
    private Pixels(String cases, String results) throws IOException {
        super(cases, results);
    }

    public static void main(String[] arguments) throws IOException {
        try (Pixels pixels = new Pixels(arguments[0], arguments[1])) {
            pixels.all();
        }
    }

    @Override
    void one(String kind) throws IOException {
        switch (kind) {
            case "prepare":
                prepare(metadata());
                break;
            case "mask":
                mask(metadata());
                break;
            case "boxes":
                boxes(metadata());
                break;
            case "classes":
                classes(metadata());
                break;
            case "overlay":
                overlay(metadata());
                break;
            case "metadata":
                told(metadata());
                break;
            default:
                throw new IOException("no case " + kind);
        }
    }

    private void prepare(Metadata metadata) throws IOException {
        Tensor input = tensor();
        Picture picture = picture();
        ByteBuffer buffer = input.allocate();
        new Preparation(metadata, input).prepare(picture, view(picture, metadata), buffer);
        byte[] values = new byte[input.bytes];
        buffer.get(values);
        bytes(values);
    }

    private void mask(Metadata metadata) throws IOException {
        Tensor output = tensor();
        byte[] stored = bytes();
        Picture picture = picture();
        bytes(segments(metadata, output, stored, picture).mask);
    }

    private void overlay(Metadata metadata) throws IOException {
        Tensor output = tensor();
        byte[] stored = bytes();
        Picture picture = picture();
        Segments segments = segments(metadata, output, stored, picture);
        int[] pixels = segments.overlay(picture);
        for (int pixel : pixels) {
            out.writeInt(pixel);
        }
        List<Share> shares = segments.shares();
        out.writeInt(shares.size());
        for (Share share : shares) {
            text(share.label);
            out.writeInt(share.number);
            out.writeDouble(share.share);
        }
    }

    private static Segments segments(Metadata metadata, Tensor output, byte[] stored, Picture picture) {
        View view = view(picture, metadata);
        byte[] mask = new byte[picture.width() * picture.height()];
        Arrays.fill(mask, (byte) Segments.OUTSIDE);
        boolean isMask = output.rank() == 3;
        float[] logits = isMask ? null : Values.real(output, ByteBuffer.wrap(stored).order(ByteOrder.LITTLE_ENDIAN));
        Segmenter.fill(mask, picture.width(), view, metadata, output, isMask ? stored : null, logits);
        return new Segments(mask, picture.width(), picture.height(), view, metadata.labels, metadata.colors);
    }

    private void boxes(Metadata metadata) throws IOException {
        float[] boxes = floats();
        float[] scores = floats();
        Picture picture = picture();
        int classes = scores.length * 4 / boxes.length;
        Suppression suppression = new Suppression(metadata.score, metadata.iou, metadata.maxPerClass, metadata.max);
        List<Box> found =
                Detector.found(boxes, scores, suppression, metadata.labels(classes), view(picture, metadata), metadata, picture);
        boxes(found);
    }

    private void classes(Metadata metadata) throws IOException {
        float[] scores = floats();
        List<Answer> found = Classifier.best(scores, metadata.output, metadata.labels(scores.length), in.readInt());
        answers(found);
    }

    private void told(Metadata metadata) throws IOException {
        text(metadata.source);
        out.writeInt(metadata.labels.size());
        for (String label : metadata.labels) {
            text(label);
        }
    }

    private static View view(Picture picture, Metadata metadata) {
        return new View(picture.height(), picture.width(), metadata);
    }
}
