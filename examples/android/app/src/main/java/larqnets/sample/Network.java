package larqnets.sample;

import android.content.res.AssetManager;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.Paint;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import larqnets.Answer;
import larqnets.Assets;
import larqnets.Box;
import larqnets.Classifier;
import larqnets.Detector;
import larqnets.Options;
import larqnets.Picture;
import larqnets.PictureModel;
import larqnets.Segmenter;
import larqnets.Segments;
import larqnets.Share;

/** A network among the assets, whatever its task; of one thread. */
final class Network implements AutoCloseable {
    private static final String PROPERTIES = ".properties";
    private static final int TOP = 3;

    /** What a network says of a picture: a picture to show, and text. */
    static final class Looked {
        final Bitmap picture;
        final String text;

        Looked(Bitmap picture, String text) {
            this.picture = picture;
            this.text = text;
        }
    }

    private final PictureModel model;

    private Network(PictureModel model) {
        this.model = model;
    }

    /** Returns the names of the networks that `larqnets convert --app` wrote into the assets. */
    static List<String> names(AssetManager assets) throws IOException {
        List<String> found = new ArrayList<>();
        for (String file : assets.list("")) {
            if (file.endsWith(PROPERTIES)) {
                found.add(file.substring(0, file.length() - PROPERTIES.length()));
            }
        }
        Collections.sort(found);
        return found;
    }

    /** Opens a network by name, with as many threads as a phone has fast cores, as a rule. */
    static Network open(AssetManager assets, String name) throws IOException {
        Assets opened = Assets.open(assets, name);
        Options options = new Options().threads(4);
        switch (opened.metadata().task) {
            case "segmentation":
                return new Network(new Segmenter(opened.model(), opened.metadata(), options));
            case "detection":
                return new Network(new Detector(opened.model(), opened.metadata(), options));
            default:
                return new Network(new Classifier(opened.model(), opened.metadata(), options));
        }
    }

    /** Looks at an upright picture. */
    Looked look(Bitmap bitmap) {
        Looked found;
        if (model instanceof Segmenter) {
            found = mask((Segmenter) model, bitmap);
        } else if (model instanceof Detector) {
            found = boxes((Detector) model, bitmap);
        } else {
            found = labels((Classifier) model, bitmap);
        }
        String took = String.format(Locale.ROOT, "%.1f ms%n", model.timing().milliseconds());
        return new Looked(found.picture, took + found.text);
    }

    private static Looked labels(Classifier classifier, Bitmap bitmap) {
        StringBuilder text = new StringBuilder();
        for (Answer answer : classifier.classify(Picture.of(bitmap), TOP)) {
            text.append(String.format(Locale.ROOT, "%5.1f %%  %s%n", 100 * answer.probability, answer.label));
        }
        return new Looked(bitmap, text.toString());
    }

    private static Looked mask(Segmenter segmenter, Bitmap bitmap) {
        Picture picture = Picture.of(bitmap);
        Segments segments = segmenter.segment(picture);
        StringBuilder text = new StringBuilder();
        for (Share share : segments.shares()) {
            text.append(String.format(Locale.ROOT, "%5.1f %%  %s%n", 100 * share.share, share.label));
        }
        int width = picture.width();
        int height = picture.height();
        int[] pixels = segments.overlay(picture);
        return new Looked(Bitmap.createBitmap(pixels, width, height, Bitmap.Config.ARGB_8888), text.toString());
    }

    private static Looked boxes(Detector detector, Bitmap bitmap) {
        List<Box> found = detector.detect(Picture.of(bitmap));
        Bitmap drawn = bitmap.copy(Bitmap.Config.ARGB_8888, true);
        Canvas canvas = new Canvas(drawn);
        int classes = detector.labels().size();
        float line = Math.max(2, drawn.getWidth() / 200f);
        StringBuilder text = new StringBuilder(String.format(Locale.ROOT, "%d found%n", found.size()));
        for (Box box : found) {
            Paint paint = new Paint();
            paint.setStyle(Paint.Style.STROKE);
            paint.setStrokeWidth(line);
            paint.setColor(Color.HSVToColor(new float[] {360f * box.number / classes, 1, 1}));
            canvas.drawRect(box.left, box.top, box.right, box.bottom, paint);
            paint.setStyle(Paint.Style.FILL);
            paint.setTextSize(8 * line);
            canvas.drawText(box.label, box.left, box.top, paint);
            text.append(String.format(Locale.ROOT, "%.2f  %s%n", box.score, box.label));
        }
        return new Looked(drawn, text.toString());
    }

    @Override
    public void close() {
        model.close();
    }
}
